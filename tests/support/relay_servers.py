"""Origins and edges in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from tests.support.redis_server import RedisServer
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import TIMEOUT_S


class RelayServer:
    """A server and a client session.

    Attributes:
        url: base URL of the server.
    """

    def __init__(self, server: TestServer, session: aiohttp.ClientSession) -> None:
        self.url = str(server.make_url("")).rstrip("/")
        self._server = server
        self._session = session

    def open_viewer(self, path: str, **options: Any) -> AbstractAsyncContextManager[Viewer]:
        """Open a stream."""
        return open_viewer(self._session, self.url + path, **options)

    async def wait_live(self, *job_ids: str, **options: Any) -> None:
        """Wait until the server has live data of the conductor, including these jobs."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                _, ready = await self.get("/ready", **options)
                if ready.get("live"):
                    _, page = await self.get("/api/jobs", **options)
                    if {job["job_id"] for job in page["jobs"]} >= set(job_ids):
                        return
                await asyncio.sleep(0.02)

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        """Return the status and the body of a response."""
        async with self._session.get(self.url + path, allow_redirects=False, **options) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, answer.headers.get("Location") or await answer.text()


@asynccontextmanager
async def run_relay_server(settings: Settings) -> AsyncIterator[RelayServer]:
    """Run a server with these settings."""
    server = TestServer(create_app(settings))
    await server.start_server()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            yield RelayServer(server, session)
    finally:
        await server.close()


def run_origin(
    folder: Path, redis: RedisServer, name: str = "oak", *, url: str = "", **options: Any
) -> AbstractAsyncContextManager[RelayServer]:
    """Run a server that publishes from the conductor in a directory."""
    return run_relay_server(
        Settings(
            conductor_socket=folder / "c.sock",
            registry_path=folder / "state.db",
            no_auth=True,
            history="none",
            publish_url=url or redis.url,
            source_name=name,
            **options,
        )
    )


def run_edge(
    redis: RedisServer, *, url: str = "", **options: Any
) -> AbstractAsyncContextManager[RelayServer]:
    """Run a server that serves the source oak from Redis, unless the options name others."""
    given: dict[str, Any] = {
        "no_auth": True,
        "state_backend": "redis",
        "redis_url": url or redis.url,
        "sources": ("oak",),
    }
    return run_relay_server(Settings(**(given | options)))
