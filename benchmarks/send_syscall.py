"""`send_syscall.py CONNECTIONS`: cost of the system call that ends each delivery.

Opens connections over loopback whose readers are in another process, and sends 330 bytes to each in
turn, as to the viewers of one event. Prints the median time of a call in microseconds.
"""

import os
import select
import socket
import sys
import time

ROUND_COUNT = 21
PAYLOAD = b"x" * 330


def read_forever(address: tuple[str, int], connection_count: int, ready_fd: int) -> None:
    """Open the connections and read forever."""
    poll = select.epoll()
    readers = {}
    for _ in range(connection_count):
        sock = socket.create_connection(address)
        poll.register(sock, select.EPOLLIN)
        readers[sock.fileno()] = sock
    os.write(ready_fd, b"x")
    while True:
        for number, _ in poll.poll(10, 1024):
            if not readers[number].recv(65536):
                os._exit(0)


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1])
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    told, ready = os.pipe()
    reader = os.fork()
    if not reader:
        read_forever(listening.getsockname(), count, ready)
    senders = []
    for _ in range(count):
        sock, _ = listening.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        senders.append(sock)
    os.read(told, 1)
    sends = [sock.send for sock in senders]
    times = []
    for _ in range(ROUND_COUNT):
        began = time.process_time()
        for send in sends:
            send(PAYLOAD)
        times.append(1e6 * (time.process_time() - began) / count)
        # The reader keeps up, as viewers do.
        time.sleep(count / 50_000)
    os.kill(reader, 9)
    sys.stdout.write(f"median_us {sorted(times)[ROUND_COUNT // 2]}\n")


if __name__ == "__main__":
    main()
