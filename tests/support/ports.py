"""Ports on loopback."""

import random
import socket

# Below the ports that Linux gives to connections and to servers on port 0 (ip_local_port_range):
# these take a free port at any moment.
PORTS = range(11_000, 32_000)


def free_port() -> int:
    """Return a port that is free, and that only another call can take."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
