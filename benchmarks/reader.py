"""Reads streams as cheaply as Python can: `reader.py HOST PORT PATH COUNT TIMEOUT_S ROOM_BYTES …`.

One epoll loop, no HTTP library, in a process of its own, so that it is not what is measured. Each
event holds a mark `<number@seconds>`: its place in its stream, and when it was made, by this
machine's monotonic clock. What was read is kept, and checked when it is asked for: the numbers rise
by one.

It prints a line when every stream has its first byte, or the time is over, then reads until its
standard input ends. It answers each line there with one of JSON: `look` with how long nothing has
come, `report` with what was seen since the last report. After `hold` nothing is read until any
other line than `waiting` comes; both are answered with how many bytes wait to be read.
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

MARK = re.compile(rb"<(\d+)@([\d.]+)>")

# Between two chunks of HTTP/1.1, which may part a mark: an event has no carriage return.
CHUNK = re.compile(rb"\r\n[0-9a-f]+\r\n")


class Stream:
    """One connection, and what was read from it, with the time.

    Attributes:
        place: counts the streams from 0; it stands for `{n}` in the path.
        number: of the last mark; 0 before the first.
        rest: what was read of an event that is not whole yet.
    """

    __slots__ = ("number", "place", "read", "rest", "seen", "sock")

    def __init__(self, sock: socket.socket, place: int) -> None:
        self.sock = sock
        self.place = place
        self.read = sock.recv
        self.seen: list[tuple[float, bytes]] = []
        self.number = 0
        self.rest = b""


class Reader:
    """All streams.

    Args:
        address: whom to ask.
        request: what to ask each time.
        count: how many connections.
        room_bytes: how much the kernel is to keep for each; 0 for as much as it likes.
    """

    def __init__(
        self, address: tuple[str, int], request: bytes, count: int, *, room_bytes: int = 0
    ) -> None:
        self._poll = select.epoll()
        self._streams: dict[int, Stream] = {}
        self._request = request
        self._address = address
        self._count = count
        self._room_bytes = room_bytes
        self.opened = self.bytes = self.ends = self.refused = 0
        self.arrival_s = 0.0
        self.since = self.last_at = time.monotonic()

    def arrive(self, timeout_s: float) -> None:
        """Opens all connections, as many at once as the kernel takes, and waits for them."""
        began = time.monotonic()
        for place in range(self._count):
            sock = socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            if self._room_bytes:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._room_bytes)
            sock.connect_ex(self._address)
            self._streams[sock.fileno()] = Stream(sock, place)
            self._poll.register(sock, select.EPOLLOUT)
            if len(self._streams) % 256 == 0:
                self.turn(0.0)
        while self.opened < self._count and time.monotonic() - began < timeout_s:
            self.turn(0.1)
        self.arrival_s = time.monotonic() - began

    def turn(self, timeout_s: float) -> bool:
        """Serves what is ready; true where the standard input is."""
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
                    stream.seen.append((now, data))
                    self.last_at = now
                    continue
                self._end(number)
            elif number == 0:
                asked = True
            elif event & select.EPOLLOUT:
                self._ask(number)
            else:
                self._end(number)
        if self.opened < self._count:
            self.opened = sum(bool(stream.seen) for stream in self._streams.values())
        return asked

    def listen(self) -> None:
        """Takes what the standard input says, from now on."""
        self._poll.register(0, select.EPOLLIN)

    def _ask(self, number: int) -> None:
        try:
            stream = self._streams[number]
            stream.sock.sendall(self._request.replace(b"{n}", b"%d" % stream.place))
        except OSError:
            self._end(number)
        else:
            self._poll.modify(number, select.EPOLLIN)

    def _end(self, number: int) -> None:
        self.ends += 1
        self._poll.unregister(number)
        self._streams[number].sock.close()

    def waiting(self) -> int:
        """How many bytes have come that were not read, in all streams (FIONREAD, ioctl_tcp(2))."""
        found = array.array("i", [0])
        total = 0
        for stream in self._streams.values():
            fcntl.ioctl(stream.sock, termios.FIONREAD, found)
            total += found[0]
        return total

    def look(self) -> dict[str, float]:
        """How long nothing has come."""
        return {"quiet_s": time.monotonic() - self.last_at}

    def report(self) -> dict[str, float]:
        """What was seen since the last report."""
        cpu_s, since, last_at = time.process_time(), self.since, self.last_at
        ages: list[float] = []
        bytes_read = faults = 0
        for stream in self._streams.values():
            bytes_read += sum(len(data) for _, data in stream.seen)
            for age, number in self._marks(stream):
                faults += stream.number not in (0, number - 1)
                stream.number = number
                ages.append(age)
            stream.seen = []
        ages.sort()
        self.since = time.monotonic()
        return {
            "events": len(ages),
            "bytes": bytes_read,
            "faults": faults,
            "ends": self.ends,
            "seconds": max(last_at - since, 1e-6),
            "p50_ms": 1000 * ages[len(ages) // 2] if ages else 0.0,
            "p99_ms": 1000 * ages[len(ages) * 99 // 100] if ages else 0.0,
            "worst_ms": 1000 * ages[-1] if ages else 0.0,
            "cpu_s": cpu_s,
            "arrival_s": self.arrival_s,
            "opened": self.opened,
        }

    @staticmethod
    def _marks(stream: Stream) -> Iterator[tuple[float, int]]:
        """How old each event was when it came, and its number."""
        for now, read in stream.seen:
            data = CHUNK.sub(b"", stream.rest + read)
            end = 0
            for mark in MARK.finditer(data):
                yield now - float(mark[2]), int(mark[1])
                end = mark.end()
            # A mark may be cut where a read ends.
            stream.rest = data[max(end, len(data) - 64) :]


def main() -> None:
    """Reads until the standard input ends."""
    host, port, path, count, timeout_s, room_bytes, *headers = sys.argv[1:]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Accept: text/event-stream", *headers]
    request = "\r\n".join((*lines, "", "")).encode()
    reader = Reader((host, int(port)), request, int(count), room_bytes=int(room_bytes))
    reader.arrive(float(timeout_s))
    sys.stdout.write(f"reading {reader.arrival_s}\n")
    sys.stdout.flush()
    reader.listen()
    while True:
        if reader.turn(1.0):
            line = sys.stdin.readline()
            if not line:
                return
            if line == "hold\n":
                hold(reader)
                continue
            say(reader.report() if line == "report\n" else reader.look())


def hold(reader: Reader) -> None:
    """Reads nothing, and so leaves the processor to others; says how much waits to be read."""
    say({"waiting": reader.waiting()})
    while sys.stdin.readline() == "waiting\n":
        say({"waiting": reader.waiting()})
    say({"waiting": reader.waiting()})


def say(answer: dict[str, float]) -> None:
    """Writes a line of JSON."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
