"""A job's log on disk: found, opened, indexed, read and followed. Files only."""
