"""`send_parallel.py`: throughput of two sending processes over loopback against one.

Nothing else is done and nothing is read: the kernel buffers all of it. Prints the ratio, the median
of several rounds: the limit for two workers on this machine.
"""

import contextlib
import multiprocessing
import socket
import statistics
import sys
import time
from multiprocessing.synchronize import Barrier
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queue import Queue

CONNECTION_COUNT, SEND_COUNT, ROUND_COUNT = 500, 300, 5
PAYLOAD = b"x" * 330

# All that is sent must fit in the buffers.
RECEIVE_BUFFER_BYTES = 1024 * 1024


def send_repeatedly(barrier: Barrier, durations_s: "Queue[float]") -> None:
    """Send to all connections repeatedly and return the duration."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        sends = []
        for _ in range(CONNECTION_COUNT):
            receiver = stack.enter_context(socket.socket())
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            receiver.connect(listening.getsockname())
            sender = stack.enter_context(listening.accept()[0])
            sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sends.append(sender.send)
        barrier.wait()
        began = time.monotonic()
        for _ in range(SEND_COUNT):
            for one in sends:
                one(PAYLOAD)
        durations_s.put(time.monotonic() - began)


def measure_slowest_s(process_count: int) -> float:
    """Return the duration of the slowest of several processes side by side."""
    begin = multiprocessing.Barrier(process_count)
    took_s: Queue[float] = multiprocessing.Queue()  # type: ignore[assignment]
    processes = [
        multiprocessing.Process(target=send_repeatedly, args=(begin, took_s))
        for _ in range(process_count)
    ]
    for process in processes:
        process.start()
    found = max(took_s.get() for _ in processes)
    for process in processes:
        process.join()
    return found


if __name__ == "__main__":
    ratios = [2 * measure_slowest_s(1) / measure_slowest_s(2) for _ in range(ROUND_COUNT)]
    sys.stdout.write(f"ratio {statistics.median(ratios)}\n")
