"""Assumptions about private parts of aiohttp, one test for each.

If one fails with a new version of aiohttp, repair `web/aiohttp_internals.py` before raising the
bound in setup.cfg.
"""

import asyncio
import configparser
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, cast

from aiohttp import web
from aiohttp_sse import EventSourceResponse

from marianne_stream.web.aiohttp_internals import (
    WRITE_BUFFER_BYTES,
    DirectEventSourceResponse,
    ManagedRequestHandler,
    WrappedServer,
    WrappingAppRunner,
)
from marianne_stream.wire.sse import MAX_WRITE_BYTES, EncodedFrames
from tests.support.processes import CHECKOUT
from tests.support.waiting import wait_until

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Connection(ManagedRequestHandler):
    """Connection that keeps the options that it was made with."""

    __slots__ = ("options",)

    def __init__(self, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self.options = options


class Runner(WrappingAppRunner):
    """Runner with connections of the class above."""

    def wrap_server(self, inner: web.Server) -> web.Server:
        self.wrapped = WrappedServer(inner, inner.request_handler, Connection, keepalive_timeout=9)
        return self.wrapped

    @property
    def connections(self) -> list[Connection]:
        return cast("list[Connection]", self.wrapped.connections)


@asynccontextmanager
async def run_server(
    handler: Handler,
) -> AsyncIterator[tuple[Runner, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Run a server with one handler, and open a connection to it."""
    app = web.Application()
    app.router.add_get("/", handler)
    runner = Runner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    try:
        yield runner, reader, writer
    finally:
        writer.close()
        await runner.cleanup()


class Waiting:
    """Handler that waits until it is released, and notes when it is cancelled."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.started = 0
        self.cancelled = 0

    async def handle(self, _request: web.Request) -> web.Response:
        self.started += 1
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return web.Response(text="done")


def test_version_of_aiohttp_is_within_the_bound() -> None:
    config = configparser.ConfigParser()
    config.read(CHECKOUT / "setup.cfg")
    requirements = config["options"]["install_requires"].split("\n")
    (bound,) = [line for line in requirements if line.startswith("aiohttp ")]
    assert bound == "aiohttp >= 3.14.4, < 3.15"
    assert version("aiohttp").startswith("3.14.")


async def test_connection_is_idle_unless_a_request_is_handled_or_waits() -> None:
    waiting = Waiting()
    async with run_server(waiting.handle) as (runner, reader, writer):
        await wait_until(lambda: len(runner.connections) == 1)
        (connection,) = runner.connections
        assert connection.is_idle
        writer.write(GET * 2)
        await wait_until(lambda: waiting.started == 1)
        # The second request waits in the connection.
        assert connection._request_in_progress
        assert len(connection._messages) == 1
        assert not connection.is_idle
        waiting.release.set()
        for _ in range(2):
            await reader.readuntil(b"done")
        await wait_until(lambda: connection.is_idle)


async def test_aborted_connection_cancels_its_handler() -> None:
    waiting = Waiting()
    async with run_server(waiting.handle) as (runner, reader, writer):
        writer.write(GET)
        await wait_until(lambda: waiting.started == 1)
        (connection,) = runner.connections
        connection.abort()
        await wait_until(lambda: waiting.cancelled == 1)
        assert await reader.read() == b""


async def test_connections_are_made_by_the_wrapped_server_with_its_options() -> None:
    async with run_server(Waiting().handle) as (runner, _reader, _writer):
        assert runner.server is runner.wrapped
        await wait_until(lambda: len(runner.connections) == 1)
        (connection,) = runner.connections
        assert isinstance(connection, Connection)
        assert connection.options["keepalive_timeout"] == 9


class Stream(DirectEventSourceResponse):
    """Response whose body is written by a test."""

    __slots__ = ("closing",)

    def __init__(self) -> None:
        super().__init__()
        self.closing = asyncio.Event()

    async def write_eof(self, data: bytes = b"") -> None:
        await self.write(b": first\n\n")
        await self.closing.wait()
        await super().write_eof(data)


@asynccontextmanager
async def run_stream(
    request: bytes = GET,
) -> AsyncIterator[tuple[Stream, asyncio.StreamReader]]:
    """Request a stream, and read its headers and its first frame."""
    streams: list[Stream] = []

    async def handle(_request: web.Request) -> web.StreamResponse:
        streams.append(Stream())
        return streams[0]

    async with run_server(handle) as (_runner, reader, writer):
        writer.write(request)
        await reader.readuntil(b": first\n\n")
        yield streams[0], reader
        streams[0].closing.set()


async def test_stream_is_an_event_source_response_without_a_task() -> None:
    async with run_stream() as (stream, _reader):
        assert isinstance(stream, EventSourceResponse)
        assert stream._ping_task is None
        assert stream.prepared
        names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
        assert not any("_ping" in name for name in names)


async def test_stream_sends_its_headers_and_drops_them() -> None:
    async def handle(_request: web.Request) -> web.StreamResponse:
        stream = Stream()
        stream.closing.set()
        return stream

    async with run_server(handle) as (_runner, reader, writer):
        writer.write(GET)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    for line in ("content-type: text/event-stream", "x-accel-buffering: no"):
        assert f"\r\n{line}\r\n" in head
    assert "transfer-encoding: chunked" in head
    assert "connection:" not in head
    async with run_stream() as (stream, reader):
        assert not stream._headers
        # The end of the body needs no headers.
        stream.closing.set()
        assert await reader.readuntil(b"0\r\n\r\n")


async def test_direct_write_follows_what_was_written_before() -> None:
    async with run_stream() as (stream, reader):
        assert await reader.readexactly(2) == b"\r\n"
        frames = EncodedFrames(b"data: direct\n\n")
        expected = b"e\r\ndata: direct\n\n\r\n"
        assert stream.write_direct(frames) == stream.framed_size(len(frames.data)) == len(expected)
        await stream.write(b": second\n\n")
        stream.write_direct(frames)
        second = b"a\r\n: second\n\n\r\n"
        assert stream.framed_size(10) == len(second)
        assert await reader.readexactly(len(expected * 2 + second)) == expected + second + expected


async def test_stream_of_http_1_0_has_no_chunks_and_ends_with_the_connection() -> None:
    async with run_stream(b"GET / HTTP/1.0\r\n\r\n") as (stream, reader):
        frames = EncodedFrames(b"data: direct\n\n")
        assert stream.write_direct(frames) == stream.framed_size(14) == 14
        await stream.write(b": second\n\n")
        stream.closing.set()
        assert await reader.read() == b"data: direct\n\n: second\n\n"


async def test_direct_write_is_refused_while_the_buffer_is_full_or_the_frames_are_large() -> None:
    async with run_stream() as (stream, reader):
        assert not stream.write_direct(EncodedFrames(b"x" * (MAX_WRITE_BYTES + 1)))
        frames = EncodedFrames(b"x" * MAX_WRITE_BYTES)
        written = 0
        while size := stream.write_direct(frames):
            written += size
        assert WRITE_BUFFER_BYTES <= stream.unsent_bytes <= WRITE_BUFFER_BYTES + 2 * MAX_WRITE_BYTES
        flushed = asyncio.create_task(stream.flush())
        await asyncio.sleep(0)
        assert not flushed.done()
        await reader.readexactly(written)
        await flushed
        assert not stream.unsent_bytes


async def test_request_is_known_until_the_end_of_the_body() -> None:
    async with run_stream() as (stream, reader):
        assert stream.request is not None
        assert stream.request.path == "/"
        stream.closing.set()
        await reader.readuntil(b"0\r\n\r\n")
        await wait_until(lambda: stream.request is None)


async def test_detached_stream_leaves_the_connection_alone() -> None:
    async with run_stream() as (stream, _reader):
        transport = stream.transport
        assert transport is not None
        stream.detach()
        assert stream.transport is None
        assert not stream.write_direct(EncodedFrames(b"data: 1\n\n"))
        stream.abort_transport()
        assert not transport.is_closing()
        assert isinstance(transport, asyncio.Transport)
