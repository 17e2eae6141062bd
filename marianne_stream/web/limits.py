"""Limits on what is open at once, in total and per client."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

from aiohttp import web

from marianne_stream.errors import TooManyDownloadsError, TooManyDownloadsPerClientError
from marianne_stream.web.auth_middleware import CLIENT_INFO, GRANT

# Longest time until a download ends whose grant was revoked.
REVOKE_INTERVAL_S = 1.0

Limit = Literal["total", "per_client"]


class ClientLimiter:
    """Counts open streams, downloads or connections."""

    def __init__(self, max_total: int, max_per_client: int) -> None:
        self.total = 0
        self._max_total = max_total
        self._max_per_client = max_per_client
        self._by_client: Counter[str] = Counter()

    def count(self, client_key: str) -> int:
        """Return how many a client has open."""
        return self._by_client[client_key]

    def reached(self, client_key: str, *, is_exempt: bool = False) -> Limit | None:
        """Return the limit that forbids one more for a client, or None.

        `is_exempt` lifts the limit per client.
        """
        if self.total >= self._max_total:
            return "total"
        if not is_exempt and self._by_client[client_key] >= self._max_per_client:
            return "per_client"
        return None

    def add(self, client_key: str) -> None:
        """Count one more for a client."""
        self.total += 1
        self._by_client[client_key] += 1

    def remove(self, client_key: str) -> None:
        """Count one less for a client."""
        self.total -= 1
        self._by_client[client_key] -= 1
        if not self._by_client[client_key]:
            del self._by_client[client_key]


class DownloadLimiter:
    """The open downloads, which are limited in total and per client."""

    def __init__(self, max_total: int, max_per_client: int) -> None:
        self._limiter = ClientLimiter(max_total, max_per_client)
        # The requests of the open downloads, by the tasks that send them.
        self._open: dict[asyncio.Task[Any], web.Request] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def slot(self, request: web.Request) -> Iterator[None]:
        """Count a download while the context lasts; to be used in the task that sends it.

        Raises:
            TooManyDownloadsError: as many downloads are open as the limit allows.
            TooManyDownloadsPerClientError: the client has as many as the limit allows.
        """
        client_key = request[CLIENT_INFO].rate_limit_key
        limit = self._limiter.reached(client_key)
        if limit == "total":
            raise TooManyDownloadsError
        if limit == "per_client":
            raise TooManyDownloadsPerClientError
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._open[task] = request
        self._limiter.add(client_key)
        try:
            yield
        finally:
            del self._open[task]
            self._limiter.remove(client_key)

    async def run_revocation(self) -> None:
        """Abort downloads whose grant has become invalid, until cancelled."""
        while True:
            await asyncio.sleep(REVOKE_INTERVAL_S)
            for task, request in self._open.items():
                if not request[GRANT].is_valid:
                    task.cancel()
                    if request.transport is not None:
                        # After the task has run: asyncio's sendfile fails without its transport.
                        asyncio.get_running_loop().call_soon(request.transport.abort)
