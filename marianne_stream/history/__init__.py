"""History: what the conductor does not keep, recorded in SQLite."""
