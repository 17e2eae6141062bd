"""Settings, their types, and logging."""
