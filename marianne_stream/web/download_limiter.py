"""Limit of logs that are being sent as files, and their end if the grant is revoked."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from marianne_stream.errors import TooManyDownloadsError, TooManyDownloadsPerClientError
from marianne_stream.web.auth_middleware import CLIENT_INFO, GRANT
from marianne_stream.web.client_limiter import ClientLimiter

# Longest time until a download ends whose grant was revoked.
REVOKE_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Download:
    """Open download, and the task that sends it."""

    request: web.Request
    task: asyncio.Task[Any] | None

    def abort(self) -> None:
        """Close the connection at once; what has not been sent is lost."""
        if self.task is not None:
            self.task.cancel()
        if self.request.transport is not None:
            # After the cancelled task has run: asyncio's sendfile fails if its transport is gone.
            asyncio.get_running_loop().call_soon(self.request.transport.abort)


class DownloadLimiter:
    """The open downloads, which are limited in total and per client."""

    def __init__(self, max_total: int, max_per_client: int) -> None:
        self._limiter = ClientLimiter(max_total, max_per_client)
        self._open: set[Download] = set()

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
        download = Download(request, asyncio.current_task())
        self._open.add(download)
        self._limiter.add(client_key)
        try:
            yield
        finally:
            self._open.discard(download)
            self._limiter.remove(client_key)

    async def run_revocation(self) -> None:
        """Abort downloads whose grant was revoked, until cancelled."""
        while True:
            await asyncio.sleep(REVOKE_INTERVAL_S)
            for download in list(self._open):
                if download.request[GRANT].revoked:
                    download.abort()
