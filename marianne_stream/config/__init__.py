"""Settings, their types, and the logging configuration."""
