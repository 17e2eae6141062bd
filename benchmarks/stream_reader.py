"""Read streams at low cost: `stream_reader.py HOST PORT PATH COUNT TIMEOUT_S ROOM_BYTES …`.

One epoll loop without an HTTP library, in a separate process, so that reading is not measured. Each
event contains a mark `<number@seconds>`: its number in the stream and its monotonic creation time.
The data is kept and checked on request: the numbers must rise by one.

Prints a line when every stream has its first byte or the time is over, then reads until its
standard input ends. It answers each line there with one of JSON: `idle` with the time since the
last data, `report` with the data since the last report. After `pause` it reads nothing until any
line other than `waiting`; both are answered with the number of unread bytes.
"""

import array
import fcntl
import json
import re
import resource
import select
import socket
import sys
import termios
import time
from collections.abc import Iterator

READ_BYTES = 128 * 1024

MARK_RE = re.compile(rb"<(\d+)@([\d.]+)>")

# Chunks of HTTP/1.1 may split a mark; events contain no carriage return.
CHUNK_BOUNDARY_RE = re.compile(rb"\r\n[0-9a-f]+\r\n")


class ReadStream:
    """One connection and its data with the time.

    Attributes:
        index: number of the stream from 0; replaces `{n}` in the path.
        last_number: number of the last mark; 0 before the first.
        partial: data of an incomplete event.
    """

    __slots__ = ("chunks", "index", "last_number", "partial", "read", "sock")

    def __init__(self, sock: socket.socket, index: int) -> None:
        self.sock = sock
        self.index = index
        self.read = sock.recv
        self.chunks: list[tuple[float, bytes]] = []
        self.last_number = 0
        self.partial = b""


class MultiStreamReader:
    """All streams.

    Args:
        address: host and port.
        request: the request of each connection.
        connection_count: number of connections.
        receive_buffer_bytes: size of each receive buffer; 0 for the kernel's default.
    """

    def __init__(
        self,
        address: tuple[str, int],
        request: bytes,
        connection_count: int,
        *,
        receive_buffer_bytes: int = 0,
    ) -> None:
        self._poll = select.epoll()
        self._streams: dict[int, ReadStream] = {}
        self._request = request
        self._address = address
        self._connection_count = connection_count
        self._receive_buffer_bytes = receive_buffer_bytes
        self.open_count = self.bytes = self.closed_count = self.refused = 0
        self.arrival_s = 0.0
        self.report_started_at = self.last_read_at = time.monotonic()

    def connect_all(self, timeout_s: float) -> None:
        """Open all connections, as many at once as the kernel takes, and wait for them."""
        began = time.monotonic()
        for place in range(self._connection_count):
            sock = socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            if self._receive_buffer_bytes:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
            sock.connect_ex(self._address)
            self._streams[sock.fileno()] = ReadStream(sock, place)
            self._poll.register(sock, select.EPOLLOUT)
            if len(self._streams) % 256 == 0:
                self.poll_once(0.0)
        while self.open_count < self._connection_count and time.monotonic() - began < timeout_s:
            self.poll_once(0.1)
        self.arrival_s = time.monotonic() - began

    def poll_once(self, timeout_s: float) -> bool:
        """Handle ready connections; return whether the standard input is ready."""
        asked = False
        ready = self._poll.poll(timeout_s, 1024)
        now = time.monotonic()
        for number, event in ready:
            if event == select.EPOLLIN and number:
                stream = self._streams[number]
                try:
                    data = stream.read(READ_BYTES)
                except OSError:
                    data = b""
                if data:
                    stream.chunks.append((now, data))
                    self.last_read_at = now
                    continue
                self._close(number)
            elif number == 0:
                asked = True
            elif event & select.EPOLLOUT:
                self._send_request(number)
            else:
                self._close(number)
        if self.open_count < self._connection_count:
            self.open_count = sum(bool(stream.chunks) for stream in self._streams.values())
        return asked

    def watch_stdin(self) -> None:
        """Poll the standard input from now on."""
        self._poll.register(0, select.EPOLLIN)

    def _send_request(self, number: int) -> None:
        try:
            stream = self._streams[number]
            stream.sock.sendall(self._request.replace(b"{n}", b"%d" % stream.index))
        except OSError:
            self._close(number)
        else:
            self._poll.modify(number, select.EPOLLIN)

    def _close(self, number: int) -> None:
        self.closed_count += 1
        self._poll.unregister(number)
        self._streams[number].sock.close()

    def count_unread_bytes(self) -> int:
        """Return the unread bytes of all streams (FIONREAD, ioctl_tcp(2))."""
        found = array.array("i", [0])
        total = 0
        for stream in self._streams.values():
            fcntl.ioctl(stream.sock, termios.FIONREAD, found)
            total += found[0]
        return total

    def report_idle(self) -> dict[str, float]:
        """Return the time since the last data."""
        return {"quiet_s": time.monotonic() - self.last_read_at}

    def report(self) -> dict[str, float]:
        """Return the events since the last report."""
        cpu_s, since, last_at = time.process_time(), self.report_started_at, self.last_read_at
        ages: list[float] = []
        bytes_read = faults = 0
        for stream in self._streams.values():
            bytes_read += sum(len(data) for _, data in stream.chunks)
            for age, number in self._parse_marks(stream):
                faults += stream.last_number not in (0, number - 1)
                stream.last_number = number
                ages.append(age)
            stream.chunks = []
        ages.sort()
        self.report_started_at = time.monotonic()
        return {
            "events": len(ages),
            "bytes": bytes_read,
            "faults": faults,
            "ends": self.closed_count,
            "seconds": max(last_at - since, 1e-6),
            "p50_ms": 1000 * ages[len(ages) // 2] if ages else 0.0,
            "p99_ms": 1000 * ages[len(ages) * 99 // 100] if ages else 0.0,
            "worst_ms": 1000 * ages[-1] if ages else 0.0,
            "cpu_s": cpu_s,
            "arrival_s": self.arrival_s,
            "opened": self.open_count,
        }

    @staticmethod
    def _parse_marks(stream: ReadStream) -> Iterator[tuple[float, int]]:
        """Return the latency and number of each event."""
        for now, read in stream.chunks:
            data = CHUNK_BOUNDARY_RE.sub(b"", stream.partial + read)
            end = 0
            for mark in MARK_RE.finditer(data):
                yield now - float(mark[2]), int(mark[1])
                end = mark.end()
            # A read may end within a mark.
            stream.partial = data[max(end, len(data) - 64) :]


def main() -> None:
    """Read until the standard input ends."""
    host, port, path, count, timeout_s, room_bytes, *headers = sys.argv[1:]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Accept: text/event-stream", *headers]
    request = "\r\n".join((*lines, "", "")).encode()
    reader = MultiStreamReader(
        (host, int(port)), request, int(count), receive_buffer_bytes=int(room_bytes)
    )
    reader.connect_all(float(timeout_s))
    sys.stdout.write(f"reading {reader.arrival_s}\n")
    sys.stdout.flush()
    reader.watch_stdin()
    while True:
        if reader.poll_once(1.0):
            line = sys.stdin.readline()
            if not line:
                return
            if line == "pause\n":
                pause_reading(reader)
                continue
            write_response(reader.report() if line == "report\n" else reader.report_idle())


def pause_reading(reader: MultiStreamReader) -> None:
    """Read nothing, which leaves the CPU to others; answer with the unread bytes."""
    write_response({"waiting": reader.count_unread_bytes()})
    while sys.stdin.readline() == "waiting\n":
        write_response({"waiting": reader.count_unread_bytes()})
    write_response({"waiting": reader.count_unread_bytes()})


def write_response(response: dict[str, float]) -> None:
    """Write a line of JSON."""
    sys.stdout.write(json.dumps(response) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
