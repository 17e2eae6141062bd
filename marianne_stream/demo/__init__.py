"""A conductor that is not one: jobs that run and log, for the demonstration and for tests."""
