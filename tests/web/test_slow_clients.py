"""Slow and stalled clients: what is kept for them, and when they are disconnected."""

import asyncio
import gc
import re
import socket
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.feeds.feed import EmptyFeed
from marianne_stream.web import stream_monitor
from marianne_stream.web.app_keys import STREAM_REGISTRY
from marianne_stream.web.sse_response import SSEResponse
from marianne_stream.web.stream_registry import StreamRegistry
from marianne_stream.wire.sse import EventParser, ServerSentEvent
from tests.support.log_lines import JOB, LOGS
from tests.support.viewers import Viewer
from tests.support.waiting import wait_until
from tests.web.conftest import Client, OpenStream

MIB = 1024 * 1024


class StoppedReader:
    """Client that requests a stream, and reads only in `read_until`."""

    def __init__(self, client: Client, path: str, last_event_id: str = "") -> None:
        self._sock = socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        # Limits what the kernel takes in its place.
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self._address = ("127.0.0.1", client.port)
        self._request = f"GET {path} HTTP/1.0\r\nLast-Event-ID: {last_event_id}\r\n\r\n"
        self._parser = EventParser(last_event_id=last_event_id)
        self.events: list[ServerSentEvent] = []
        self.ended = False

    async def ask(self) -> None:
        """Send the request."""
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._sock, self._address)
        await loop.sock_sendall(self._sock, self._request.encode())

    @property
    def last_event_id(self) -> str:
        """The events that it has read."""
        return self._parser.last_event_id

    async def read_until(self, done: Callable[[], object]) -> None:
        """Read until a condition holds or the stream ends."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            while not done():
                try:
                    data = await loop.sock_recv(self._sock, 256 * 1024)
                except ConnectionError:
                    data = b""
                if not data:
                    self.ended = True
                    return
                # Of HTTP/1.0: a head, and then nothing but the stream.
                body = re.sub(rb"\AHTTP/1.*?\r\n\r\n", b"", data, flags=re.DOTALL)
                self.events += self._parser.feed(body)

    def has(self, event: str) -> bool:
        """Return whether an event has been read."""
        return any(one.event == event for one in self.events)

    def close(self) -> None:
        """Disconnect."""
        self._sock.close()


async def open_stopped_reader(client: Client, path: str, last_event_id: str = "") -> StoppedReader:
    """Return a client that has sent its request, and reads nothing."""
    reader = StoppedReader(client, path, last_event_id)
    await reader.ask()
    return reader


@pytest.fixture
async def streams(conductor: SimulatedConductor, client: Client) -> StreamRegistry:
    """Return the streams of a server that is subscribed to the conductor."""
    await wait_until(lambda: conductor.statistics.monitor_streams_open)
    return client.app[STREAM_REGISTRY]


def has_seen(viewer: Viewer, event: str, count: int) -> bool:
    """Return whether a viewer has got an event so many times."""
    return viewer.event_counts[event] == count


def has_more(reader: StoppedReader, events: int) -> bool:
    """Return whether a reader has more than so many events."""
    return len(reader.events) > events


def has_taken(stream: SSEResponse, before: int) -> bool:
    """Return whether the kernel has taken more of a stream than before."""
    return stream.written_bytes - stream.unsent_bytes > before


def buffered_sizes(streams: StreamRegistry) -> list[int]:
    """Return the bytes that are kept for each client, smallest first."""
    return sorted(stream.buffered_bytes for stream in streams)


async def test_slow_client_of_events_is_buffered_up_to_a_mebibyte(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream, streams: StreamRegistry
) -> None:
    conductor.launch("a", 1)
    async with open_stream("/api/events/stream") as quick:
        await quick.wait_for("source")
        slow = await open_stopped_reader(client, "/api/events/stream?limit=0")
        await wait_until(lambda: len(streams) == 2)
        for number in range(4000):
            conductor.emit("a", "job.step", {"number": number, "fill": "x" * 2000})
            if number % 100 == 99:
                await wait_until(partial(has_seen, quick, "job.step", number + 1))
                assert sum(buffered_sizes(streams)) <= MIB
        assert buffered_sizes(streams)[-1] > MIB // 2
        assert "gap" not in quick.event_names
        conductor.emit("a", "job.last")
        await slow.read_until(lambda: slow.has("job.last"))
    gaps = [event.data for event in slow.events if event.event == "gap"]
    missed = sum(int(re.findall(r'"missed":(\d+)', gap)[0]) for gap in gaps)
    assert missed + sum(event.event == "job.step" for event in slow.events) == 4000
    slow.close()


async def test_slow_client_of_status_gets_newest_state(
    conductor: SimulatedConductor, client: Client, streams: StreamRegistry
) -> None:
    sheets = 400
    conductor.launch("a", sheets)
    slow = await open_stopped_reader(client, "/api/jobs/a/stream?poll_interval=0.1")
    await wait_until(lambda: len(streams) == 1)
    for number in range(1, sheets):
        conductor.complete_sheet("a", number)
        await asyncio.sleep(0.002)
    assert buffered_sizes(streams)[0] <= MIB
    last = f'"completed_sheets":{sheets - 1}'
    await slow.read_until(lambda: any(last in event.data for event in slow.events))
    assert sum(event.event == "job_status" for event in slow.events) < sheets
    slow.close()


async def test_slow_client_of_log_is_not_buffered_and_loses_nothing(
    log_path: Path, client: Client, open_stream: OpenStream, streams: StreamRegistry
) -> None:
    log_path.touch()
    lines = 20_000
    async with open_stream(LOGS) as quick:
        slow = await open_stopped_reader(client, LOGS)
        await wait_until(lambda: len(streams) == 2)
        with log_path.open("a", encoding="utf-8", buffering=1) as file:
            for start in range(0, lines, 500):
                file.writelines(f"{n} {'x' * 200}\n" for n in range(start, start + 500))
                await wait_until(partial(has_seen, quick, "log", start + 500))
                assert sum(buffered_sizes(streams)) <= MIB
    await slow.read_until(lambda: len(slow.events) == lines)
    found = [int(re.findall(r'"line":"(\d+) ', event.data)[0]) for event in slow.events]
    assert found == list(range(lines))
    slow.close()


async def test_stalled_client_is_disconnected_and_resumes(
    log_path: Path,
    client: Client,
    open_stream: OpenStream,
    streams: StreamRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_monitor, "STALL_TIMEOUT_S", 2.0)
    log_path.write_text("".join(f"{n} {'x' * 200}\n" for n in range(10_000)))
    async with open_stream(LOGS, tail_lines="0") as quick:
        slow = await open_stopped_reader(client, f"{LOGS}?tail_lines=1000")
        await wait_until(lambda: len(streams) == 2)
        with log_path.open("a", encoding="utf-8") as file:
            file.writelines(f"{n} {'x' * 200}\n" for n in range(10_000, 20_000))
        await wait_until(lambda: len(streams) == 1)
        assert not quick.has_ended
    await slow.read_until(lambda: slow.ended)
    again = await open_stopped_reader(client, LOGS, slow.last_event_id)
    await again.read_until(lambda: len(slow.events) + len(again.events) == 11_000)
    found = [int(re.findall(r'"line":"(\d+) ', e.data)[0]) for e in (*slow.events, *again.events)]
    assert found == list(range(9000, 20_000))
    slow.close()
    again.close()


async def test_slow_client_is_not_disconnected(
    conductor: SimulatedConductor,
    client: Client,
    streams: StreamRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_monitor, "STALL_TIMEOUT_S", 3.0)
    conductor.launch("a", 1)
    slow = await open_stopped_reader(client, "/api/events/stream?limit=0")
    await wait_until(lambda: len(streams) == 1)
    await slow.read_until(lambda: slow.has("source"))
    for number in range(50):
        for _ in range(20):
            conductor.emit("a", "job.step", {"fill": "x" * 2000})
        seen = len(slow.events)
        await slow.read_until(partial(has_more, slow, seen))
        await asyncio.sleep(0.1)
        assert len(streams) == 1, f"it was let go after {number} looks"
    slow.close()


async def test_partial_read_counts_as_progress(
    conductor: SimulatedConductor, client: Client, streams: StreamRegistry
) -> None:
    conductor.launch("a", 1)
    slow = await open_stopped_reader(client, "/api/events/stream?limit=0")
    await wait_until(lambda: len(streams) == 1)
    (stream,) = streams
    for _ in range(5):
        while stream.feed.buffered_bytes < MIB // 2:
            conductor.emit("a", "job.step", {"fill": "x" * 2000})
            await asyncio.sleep(0)
        taken = stream.written_bytes - stream.unsent_bytes
        seen = len(slow.events)
        # Some 100 KB.
        await slow.read_until(partial(has_more, slow, seen + 50))
        await wait_until(partial(has_taken, stream, taken))
    slow.close()


async def test_memory_pressure_disconnects_largest_buffer(
    conductor: SimulatedConductor,
    client: Client,
    open_stream: OpenStream,
    streams: StreamRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_monitor, "MAX_BUFFERED_BYTES", 3 * MIB // 4)
    conductor.launch("a", 1)
    conductor.launch(JOB, 1)
    async with open_stream("/api/events/stream") as quick:
        await quick.wait_for("source")
        most = await open_stopped_reader(client, "/api/events/stream?limit=0")
        less = await open_stopped_reader(client, f"/api/events/stream?limit=0&job_id={JOB}")
        await wait_until(lambda: len(streams) == 3)
        for number in range(4000):
            conductor.emit("a" if number % 20 else JOB, "job.step", {"fill": "x" * 2000})
            if number % 100 == 99:
                await wait_until(partial(has_seen, quick, "job.step", number + 1))
        await wait_until(lambda: len(streams) == 2)
        await most.read_until(lambda: most.ended)
        assert most.ended
        conductor.emit(JOB, "job.last")
        await less.read_until(lambda: less.has("job.last"))
    most.close()
    less.close()


async def fill(conductor: SimulatedConductor, stream: SSEResponse) -> None:
    """Emit events until the kernel takes no more of a stream."""
    while not stream.unsent_bytes:
        conductor.emit("a", "job.step", {"fill": "x" * 2000})
        await asyncio.sleep(0)


async def test_ended_stream_is_open_until_client_has_taken_all(
    conductor: SimulatedConductor, client: Client, streams: StreamRegistry
) -> None:
    conductor.launch("a", 1)
    slow = await open_stopped_reader(client, "/api/events/stream?limit=0")
    await wait_until(lambda: len(streams) == 1)
    (stream,) = streams
    await fill(conductor, stream)
    stream.feed.finish()
    await wait_until(lambda: isinstance(stream.feed, EmptyFeed))
    assert len(streams) == 1
    await slow.read_until(lambda: False)
    assert slow.ended
    await wait_until(lambda: not len(streams))
    assert streams.statistics().closed == {"finished": 1}
    slow.close()


async def test_ended_stream_of_stalled_client_is_disconnected(
    conductor: SimulatedConductor,
    client: Client,
    streams: StreamRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_monitor, "STALL_TIMEOUT_S", 0.5)
    conductor.launch("a", 1)
    slow = await open_stopped_reader(client, "/api/events/stream?limit=0")
    await wait_until(lambda: len(streams) == 1)
    (stream,) = streams
    await fill(conductor, stream)
    stream.feed.finish()
    await wait_until(lambda: not len(streams))
    assert streams.statistics().closed == {"stalled": 1}
    server = client.server.runner.server if client.server.runner is not None else None
    assert server is not None
    await wait_until(lambda: not server.connections)
    slow.close()


async def test_large_event_is_not_copied_for_slow_clients(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream, streams: StreamRegistry
) -> None:
    conductor.launch("a", 1)
    async with open_stream("/api/events/stream", limit="0") as quick:
        await quick.wait_for("source")
        slow = await open_stopped_reader(client, "/api/events/stream?limit=0")
        await wait_until(lambda: len(streams) == 2)
        conductor.emit("a", "job.large", {"fill": "x" * 4_000_000})
        conductor.emit("a", "job.last")
        await quick.wait_for("job.last")
        assert max(stream.unsent_bytes for stream in streams) <= 64 * 1024
    await slow.read_until(lambda: slow.has("job.last"))
    assert max(len(event.data) for event in slow.events) > 4_000_000
    slow.close()


@pytest.mark.parametrize(
    "path", ["/api/events/stream", f"/api/jobs/{JOB}/stream", "/api/roster/stream", LOGS]
)
async def test_closed_stream_is_freed_without_garbage_collection(
    log_path: Path, client: Client, streams: StreamRegistry, path: str
) -> None:
    log_path.write_text("one line\n")
    await asyncio.sleep(0)
    gc.collect()
    gc.disable()
    try:
        reader = await open_stopped_reader(client, path)
        await wait_until(lambda: len(streams) == 1)
        await reader.read_until(lambda: reader.events)
        (stream,) = streams
        left = weakref.ref(stream)
        del stream
        reader.close()
        await wait_until(lambda: not len(streams))
        await wait_until(lambda: left() is None)
    finally:
        gc.enable()
