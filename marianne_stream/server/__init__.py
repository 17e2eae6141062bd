"""The server process: sockets, signals, systemd, workers, memory, background tasks."""
