"""One thing said once, heard by all:

topics, the mailboxes of their subscribers, and what is kept for latecomers.
"""
