"""Streams over each kind of connection: chunks, HTTP/1.0, TLS, and a client that pauses."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import trustme
from aiohttp import ClientSession, TCPConnector
from aiohttp.test_utils import TestServer

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_until
from tests.web.conftest import Client

Emit = Callable[[int], Awaitable[None]]


@pytest.fixture
async def emit(conductor: SimulatedConductor) -> Emit:
    """Return a function that emits events, a few in each iteration of the event loop."""
    conductor.launch("a", 1)

    async def emit(count: int) -> None:
        for number in range(count):
            conductor.emit("a", "job.step", {"number": number, "text": "é" * (number % 700)})
            if number % 3:
                await asyncio.sleep(0)

    return emit


@pytest.fixture
async def tls(settings: Settings) -> AsyncIterator[tuple[str, ClientSession]]:
    """Run a server with TLS; yield its address and a session that trusts it."""
    authority = trustme.CA()
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(own)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    server = TestServer(create_app(settings), scheme="https")
    await server.start_server(ssl=own)
    async with ClientSession(connector=TCPConnector(ssl=trusting)) as session:
        yield str(server.make_url("")), session
    await server.close()


def has_counted(viewer: Viewer, count: int) -> bool:
    return viewer.event_counts["job.step"] == count


async def test_stream_over_tls_sends_each_event_once_in_order(
    conductor: SimulatedConductor, emit: Emit, tls: tuple[str, ClientSession]
) -> None:
    address, session = tls
    async with open_viewer(session, f"{address}/api/events/stream", limit="0") as viewer:
        await viewer.wait_for("source")
        await wait_until(lambda: conductor.statistics.monitor_streams_open)
        for count in range(300, 1501, 300):
            await emit(300)
            # A busy machine is slower than the events, of which a mebibyte is kept.
            await wait_until(partial(has_counted, viewer, count))
    numbers = [data["data"]["number"] for data in viewer.event_data("job.step")]
    assert numbers == list(range(300)) * 5


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_stream_framing_follows_http_version(
    emit: Emit, client: Client, version: str
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    request = f"GET /api/events/stream?limit=0 HTTP/{version}\r\nHost: localhost\r\n\r\n"
    writer.write(request.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    chunked = b"Transfer-Encoding: chunked" in head
    assert chunked == (version == "1.1")
    body = b""
    emitted = False
    while body.count(b"event: job.step\n") < 300:
        if chunked:
            length = int(await asyncio.wait_for(reader.readline(), 5), 16)
            body += await reader.readexactly(length)
            assert await reader.readexactly(2) == b"\r\n"
        else:
            body += await asyncio.wait_for(reader.read(65536), 5)
        if not emitted and b"event: source" in body:
            emitted = True
            await asyncio.sleep(0.3)
            await emit(300)
    assert body.startswith(b"retry: ")
    numbers = [part.split(b",")[0] for part in body.split(b'"number":')[1:]]
    assert numbers == [b"%d" % number for number in range(300)]
    writer.close()


async def test_paused_client_gets_the_rest_in_order(emit: Emit, client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1024)
    writer.write(b"GET /api/events/stream?limit=0 HTTP/1.0\r\n\r\n")
    data = await reader.readuntil(b"event: source\n")
    await asyncio.sleep(0.3)
    for count in (300, 600, 900, 1200):
        await emit(300)
        # Now in the buffers of the kernel, of the transport, and in the mailbox.
        while data.count(b"event: job.step\n") < count:
            data += await asyncio.wait_for(reader.read(65536), 5)
    numbers = [int(part.split(b",")[0]) for part in data.split(b'"number":')[1:]]
    assert numbers == list(range(300)) * 4
    writer.close()
