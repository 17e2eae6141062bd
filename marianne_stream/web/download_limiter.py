"""The logs that are being given as files: how many at once, by what right.

It must not know which logs they are.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from marianne_stream.errors import TooManyDownloadsError, TooManyDownloadsPerClientError
from marianne_stream.web.auth_middleware import CLIENT_INFO, GRANT

# How soon one ends whose right was revoked.
REVOKE_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Download:
    """A download.

    Attributes:
        request: what it answers.
        task: what sends it.
    """

    request: web.Request
    task: asyncio.Task[Any] | None

    def abort(self) -> None:
        """Ends it at once, without what has not been sent."""
        if self.task is not None:
            self.task.cancel()
        if self.request.transport is not None:
            # Behind the task: asyncio's sendfile does not bear to lose its transport.
            asyncio.get_running_loop().call_soon(self.request.transport.abort)


class DownloadLimiter:
    """All open downloads.

    Args:
        max_total: how many there may be at once.
        max_per_client: how many one client may have at once.
    """

    def __init__(self, max_total: int, max_per_client: int) -> None:
        self._max_total = max_total
        self._max_per_client = max_per_client
        self._open: set[Download] = set()
        self._open_by_client: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def slot(self, request: web.Request) -> Iterator[None]:
        """Counts a download for as long as the context lasts, in the task that sends it.

        Raises:
            TooManyDownloadsError: there are as many as there may be.
            TooManyDownloadsOfOneError: the client has as many as one client may have.
        """
        client = request[CLIENT_INFO].rate_limit_key
        if len(self._open) >= self._max_total:
            raise TooManyDownloadsError
        if self._open_by_client[client] >= self._max_per_client:
            raise TooManyDownloadsPerClientError
        download = Download(request, asyncio.current_task())
        self._open.add(download)
        self._open_by_client[client] += 1
        try:
            yield
        finally:
            self._open.discard(download)
            self._open_by_client[client] -= 1
            if not self._open_by_client[client]:
                del self._open_by_client[client]

    async def run_revocation(self) -> None:
        """Ends those whose right was revoked, until it is cancelled."""
        while True:
            await asyncio.sleep(REVOKE_INTERVAL_S)
            for download in list(self._open):
                if download.request[GRANT].revoked:
                    download.abort()
