"""Authentication: tokens, browser sessions, and delays for failed attempts."""
