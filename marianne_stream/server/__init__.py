"""The server process: running, sockets, signals, systemd, workers, memory."""
