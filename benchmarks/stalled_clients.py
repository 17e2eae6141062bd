"""`stalled_clients.py HOST PORT PATH COUNT`: open streams and read nothing."""

import socket
import sys
import time


def main() -> None:
    """Hold the connections until the process is killed."""
    host, port, path, count = sys.argv[1:]
    held = []
    for _ in range(int(count)):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((host, int(port)))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        held.append(sock)
    sys.stdout.write("stuck now\n")
    sys.stdout.flush()
    time.sleep(3600)


if __name__ == "__main__":
    main()
