"""Said once, heard by all: topics, their subscribers' mailboxes, what is kept for later."""
