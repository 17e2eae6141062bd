"""Open streams: keepalives, failures, disconnects, and shutdown."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import ConductorUnreachableError
from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.feed import FeedKind
from marianne_stream.web import stream_monitor
from marianne_stream.web.app_keys import STREAM_REGISTRY
from marianne_stream.web.auth_middleware import AuthMiddleware
from marianne_stream.web.host_policy import Cors, TrustedHosts
from marianne_stream.web.middleware import errors_as_json
from marianne_stream.web.proxy_headers import TrustedProxies
from marianne_stream.web.stream_registry import StreamRegistry
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_until
from tests.web.conftest import Client, OpenStream


async def test_idle_stream_gets_comments_and_heartbeats(
    conductor: SimulatedConductor, open_stream: OpenStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_monitor, "COMMENT_AFTER_IDLE_S", 0.9)
    monkeypatch.setattr(stream_monitor, "HEARTBEAT_AFTER_IDLE_S", 1.9)
    conductor.launch("a", 1)
    async with open_stream("/api/jobs/a/stream") as viewer:
        heartbeat = await viewer.wait_for("heartbeat")
    assert b"\n\n: idle\n\n" in viewer.raw
    assert abs(heartbeat["timestamp"] - asyncio.get_running_loop().time()) > 1e6
    assert viewer.events[-1].event_id == viewer.events[-2].event_id


async def test_disconnected_client_closes_its_stream_at_once(
    conductor: SimulatedConductor, open_stream: OpenStream, client: Client
) -> None:
    conductor.launch("a", 1)
    streams = client.app[STREAM_REGISTRY]
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_for("job_sheets")
        assert len(streams) == 1
    await wait_until(lambda: len(streams) == 0, timeout_s=1)


async def test_stream_limit_refuses_or_asks_event_source_to_reconnect(
    conductor: SimulatedConductor,
    settings: Settings,
    aiohttp_client: Callable[..., Awaitable[Client]],
) -> None:
    conductor.launch("a", 1)
    client = await aiohttp_client(create_app(settings.model_copy(update={"max_streams": 1})))
    path = "/api/jobs/a/stream"
    async with open_viewer(client.session, str(client.make_url(path))) as viewer:
        await viewer.wait_for("job_sheets")
        async with client.get(path) as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
            assert (await refused.json())["code"] == "too_many_streams"
        async with client.get(path, headers={"Accept": "text/event-stream"}) as come_back:
            assert (come_back.status, come_back.content_type) == (200, "text/event-stream")
            assert (await come_back.text()).startswith("retry: ")
        assert (await client.get("/health")).status == 200
    await wait_until(lambda: not len(client.app[STREAM_REGISTRY]))
    async with open_viewer(client.session, str(client.make_url(path))) as viewer:
        await viewer.wait_for("job_sheets")


async def test_shutdown_ends_streams_with_retry_delay(
    conductor: SimulatedConductor,
    settings: Settings,
    aiohttp_client: Callable[..., Awaitable[Client]],
) -> None:
    conductor.launch("a", 1)
    client = await aiohttp_client(create_app(settings))
    paths = ("/api/jobs/a/stream", "/api/roster/stream", "/api/events/stream")
    viewers: list[Viewer] = []
    async with asyncio.TaskGroup() as group:

        async def view(path: str) -> None:
            async with open_viewer(client.session, str(client.make_url(path))) as viewer:
                viewers.append(viewer)
                await viewer.wait_ended()

        for path in paths:
            group.create_task(view(path))
        await wait_until(lambda: len(viewers) == 3 and all(viewer.events for viewer in viewers))
        await client.server.close()
    assert all(500 <= (viewer.retry_ms or 0) <= 1600 for viewer in viewers)
    assert {name for viewer in viewers for name in viewer.event_names} <= {
        "source",
        "job_status",
        "job_sheets",
        "roster",
        "conductor",
        "job.started",
    }
    await wait_until(lambda: conductor.statistics.connections_open == 0)


async def test_stream_above_limit_reads_nothing(
    conductor: SimulatedConductor,
    settings: Settings,
    aiohttp_client: Callable[..., Awaitable[Client]],
) -> None:
    conductor.launch("a", 1)
    client = await aiohttp_client(create_app(settings.model_copy(update={"max_streams": 1})))
    async with open_viewer(client.session, str(client.make_url("/api/events/stream"))) as viewer:
        await viewer.wait_for("source")
        for path in ("stream", "events", "logs"):
            async with client.get(f"/api/jobs/a/{path}") as refused:
                assert refused.status == 503
                assert (await refused.json())["code"] == "too_many_streams"
        assert not conductor.statistics.requests["job.status"]


async def test_keepalives_are_spread_over_the_tick(
    conductor: SimulatedConductor,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_monitor, "COMMENT_AFTER_IDLE_S", 0.0)
    conductor.launch("a", 1)
    streams = client.app[STREAM_REGISTRY]
    async with AsyncExitStack() as stack:
        for _ in range(20):
            url = str(client.make_url("/api/events/stream"))
            viewer = await stack.enter_async_context(open_viewer(client.session, url))
            await viewer.wait_for("source")
        quiet = {one: one.written_bytes for one in streams}
        await wait_until(lambda: all(one.written_bytes > written for one, written in quiet.items()))
        together = Counter(one.last_write_at for one in streams)
    assert max(together.values()) <= 2


async def test_written_bytes_include_direct_and_queued_writes(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 1)
    await wait_until(lambda: conductor.statistics.monitor_streams_open)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET /api/events/stream?limit=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    # What comes first is waited for; what comes then goes out at once, unless it is large.
    body = await reader.readuntil(b"event: source\n")
    conductor.emit("a", "job.large", {"fill": "x" * 100_000})
    conductor.emit("a", "job.last")
    async with asyncio.timeout(5):
        while b"event: job.last" not in body or not body.endswith(b"\n\n\r\n"):
            body += await reader.read(65536)
    (one,) = client.app[STREAM_REGISTRY]
    assert one.written_bytes == len(body)
    writer.close()


class BrokenFeed:
    """Feed that fails after its first frame."""

    is_exhausted = False
    kind: FeedKind = "status"
    has_heartbeats = True

    buffered_bytes = 0

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    def set_sink(self, sink: Sink) -> None:
        """Ignore the sink."""

    async def frames(self) -> AsyncIterator[bytes]:
        yield b"event: first\ndata: 1\n\n"
        raise self._fault

    def finish(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.left = True


@pytest.mark.parametrize(
    ("fault", "error", "error_type"),
    [
        (
            ConductorUnreachableError("at /tmp/secret"),
            "The conductor is away.",
            "conductor_unreachable",
        ),
        (KeyError("/tmp/secret"), "The server failed to answer this request.", "internal_error"),
    ],
)
async def test_feed_failure_sends_stream_error_and_ends_stream(
    fault: Exception,
    error: str,
    error_type: str,
    aiohttp_client: Callable[..., Awaitable[Client]],
) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return StreamRegistry().open(request, BrokenFeed(fault))

    auth = AuthMiddleware(
        None, trusted_hosts=TrustedHosts(()), cors=Cors(()), proxies=TrustedProxies(())
    )
    app = web.Application(middlewares=[errors_as_json, auth.check])
    app.router.add_get("/", handle)
    client = await aiohttp_client(app)
    async with open_viewer(client.session, str(client.make_url("/"))) as viewer:
        await viewer.wait_ended()
    assert viewer.event_names == ["first", "stream_error"]
    assert json.loads(viewer.events[-1].data) == {"error": error, "error_type": error_type}
    assert viewer.retry_ms == 10_000


async def test_handler_failure_is_500_without_details(
    aiohttp_client: Callable[..., Awaitable[Client]], caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(_request: web.Request) -> web.StreamResponse:
        raise KeyError("/tmp/secret")

    app = web.Application(middlewares=[errors_as_json])
    app.router.add_get("/", handle)
    client = await aiohttp_client(app)
    async with client.get("/") as response:
        assert response.status == 500
        assert await response.json() == {
            "code": "internal_error",
            "detail": "The server failed to answer this request.",
        }
    assert "/tmp/secret" in caplog.text


async def test_pipelined_requests_are_answered_in_order(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 1)
    conductor.finish("a")
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    stream_request = b"GET /api/jobs/a/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
    writer.write(
        stream_request + b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.index(b"event: job_finished") < answer.index(b'{"status":"ok"}')
