"""Limit of logs that are being sent as files, and their end if the grant is revoked."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from aiohttp import web

from marianne_stream.errors import TooManyDownloadsError, TooManyDownloadsPerClientError
from marianne_stream.web.auth_middleware import CLIENT_INFO, GRANT
from marianne_stream.web.client_limiter import ClientLimiter

# Longest time until a download ends whose grant was revoked.
REVOKE_INTERVAL_S = 1.0


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
        """Abort downloads whose grant was revoked, until cancelled."""
        while True:
            await asyncio.sleep(REVOKE_INTERVAL_S)
            for task, request in self._open.items():
                if request[GRANT].revoked:
                    task.cancel()
                    if request.transport is not None:
                        # After the task has run: asyncio's sendfile fails without its transport.
                        asyncio.get_running_loop().call_soon(request.transport.abort)
