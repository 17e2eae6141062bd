"""`python benchmarks/reader.py HOST PORT PATH CONNECTIONS`: reads streams as cheaply as Python can.

One epoll loop, no HTTP library, in a process of its own, so that it is not what is measured. Each
event holds a mark `<number@seconds>`: its place in its stream, and when it was made, by this
machine's monotonic clock. What is read is checked: the numbers rise by one.

It prints a line when every stream has its first byte, then reads until its standard input says
`report` with a line: it answers one line of JSON and goes on, or until that ends.
"""

import json
import select
import socket
import sys
import time

READ_BYTES = 256 * 1024


class Stream:
    """One connection.

    Attributes:
        number: of the last mark; None before the first.
        rest: what was read of an event that is not whole yet.
    """

    __slots__ = ("number", "open", "rest", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.number: int | None = None
        self.rest = b""
        self.open = False


class Reader:
    """All streams, and what was seen on them since the last report.

    Args:
        address: whom to ask.
        request: what to ask each time.
        count: how many connections.
    """

    def __init__(self, address: tuple[str, int], request: bytes, count: int) -> None:
        self._poll = select.epoll()
        self._streams: dict[int, Stream] = {}
        self._request = request
        self._address = address
        self._count = count
        self.opened = 0
        self.arrival_s = 0.0
        self.forget()

    def forget(self) -> None:
        """Begins to count anew."""
        self.events = self.bytes = self.faults = self.ends = 0
        self.ages: list[float] = []
        self.since = time.monotonic()

    def arrive(self) -> None:
        """Opens all connections, as many at once as the kernel takes."""
        began = time.monotonic()
        for _ in range(self._count):
            sock = socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sock.connect_ex(self._address)
            self._streams[sock.fileno()] = Stream(sock)
            self._poll.register(sock, select.EPOLLOUT)
            if len(self._streams) % 256 == 0:
                self.turn(0.0)
        while self.opened < self._count:
            self.turn(1.0)
        self.arrival_s = time.monotonic() - began

    def turn(self, timeout_s: float) -> bool:
        """Serves what is ready; true where the standard input is."""
        asked = False
        for number, event in self._poll.poll(timeout_s, 512):
            if number == 0:
                asked = True
            elif event & select.EPOLLOUT:
                self._streams[number].sock.sendall(self._request)
                self._poll.modify(number, select.EPOLLIN)
            else:
                self._read(number, self._streams[number])
        return asked

    def listen(self) -> None:
        """Takes what the standard input says, from now on."""
        self._poll.register(0, select.EPOLLIN)

    def _read(self, number: int, stream: Stream) -> None:
        try:
            data = stream.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.ends += 1
            self._poll.unregister(number)
            stream.sock.close()
            return
        now = time.monotonic()
        if not stream.open:
            stream.open = True
            self.opened += 1
            self.faults += not data.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
        self.bytes += len(data)
        data = stream.rest + data
        # A mark is cut where a read ends; it is looked at with the next one.
        end = data.rfind(b">") + 1
        stream.rest = data[end:] if len(data) - end < 4096 else data[-4096:]
        count = data.count(b"@", 0, end)
        if count:
            self._check(stream, data, end, count, now)

    def _check(self, stream: Stream, data: bytes, end: int, count: int, now: float) -> None:
        first, last = data.find(b"<") + 1, data.rfind(b"<", 0, end) + 1
        made = data.index(b"@", first)
        first_number = int(data[first:made])
        last_number = int(data[last : data.index(b"@", last)])
        if last_number - first_number + 1 != count:
            self.faults += 1
        if stream.number is not None and first_number != stream.number + 1:
            self.faults += 1
        stream.number = last_number
        self.events += count
        # Of what came at once, the oldest.
        self.ages.append(now - float(data[made + 1 : data.index(b">", made)]))

    def report(self) -> dict[str, float]:
        """What was seen since the last report."""
        seconds = time.monotonic() - self.since
        ages = sorted(self.ages) or [0.0]
        found = {
            "events": self.events,
            "bytes": self.bytes,
            "faults": self.faults,
            "ends": self.ends,
            "seconds": seconds,
            "p50_ms": 1000 * ages[len(ages) // 2],
            "p99_ms": 1000 * ages[len(ages) * 99 // 100],
            "worst_ms": 1000 * ages[-1],
            "least": min((s.number or 0 for s in self._streams.values()), default=0),
            "most": max((s.number or 0 for s in self._streams.values()), default=0),
            "cpu_s": time.process_time(),
            "arrival_s": self.arrival_s,
        }
        self.forget()
        return found


def main() -> None:
    """Reads until the standard input ends."""
    host, port, path, count, *headers = sys.argv[1:]
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Accept: text/event-stream", *headers]
    request = "\r\n".join((*lines, "", "")).encode()
    reader = Reader((host, int(port)), request, int(count))
    reader.arrive()
    sys.stdout.write(f"reading {reader.arrival_s}\n")
    sys.stdout.flush()
    reader.listen()
    while True:
        if reader.turn(1.0):
            if not sys.stdin.readline():
                return
            sys.stdout.write(json.dumps(reader.report()) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
