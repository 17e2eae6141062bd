"""Discovery of sources: relays add their names to a set, which edges read."""

import asyncio
import logging
from collections.abc import Iterable

from redis.asyncio import Redis

from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.relay.redis_client import REDIS_ERRORS, call, close_connections, describe_error
from marianne_stream.relay.redis_keys import SOURCE_NAME_PATTERN, SourceKeys, sources_key
from marianne_stream.relay.redis_streams import SCAN_PAGE_FIELDS

logger = logging.getLogger(__name__)

CALL_TIMEOUT_S = 5.0

# Any relay may add names. The next read continues behind the names of one read.
MAX_NAMES_PER_READ = 5_000


class SourceDiscovery:
    """Reader of the names under one prefix."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._sources_key = sources_key(prefix)
        self._warning = WarnOnce(logger)
        # Cursor of the next read (SSCAN).
        self._scan_cursor = 0

    async def find_new(self, known_names: Iterable[str]) -> set[str]:
        """Return further names under which a relay has published.

        Every relay may add any name, but only the relay of a source can write the source's keys.
        Without known names no reader logs a fault of Redis, so it is logged here.
        """
        known_names = set(known_names)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                names = await self._scan_names()
                found = await self._select_published(sorted(names - known_names))
        except REDIS_ERRORS as error:
            if not known_names and not self._warning.has_warned:
                self._warning.warn("source names unreadable: %s", describe_error(error))
            await close_connections(self._client)
            return set()
        self._warning.recover()
        return found

    async def _scan_names(self) -> set[str]:
        """Return the next valid names of the set."""
        found: set[str] = set()
        seen = 0
        while seen < MAX_NAMES_PER_READ:
            scan = self._client.sscan(
                self._sources_key, cursor=self._scan_cursor, count=SCAN_PAGE_FIELDS
            )
            self._scan_cursor, page = await call(scan)
            seen += 1 + len(page)
            names = (name.decode("ascii", "replace") for name in page)
            found.update(name for name in names if SOURCE_NAME_PATTERN.fullmatch(name))
            if not self._scan_cursor:
                break
        return found

    async def _select_published(self, names: list[str]) -> set[str]:
        """Return the names under which a relay has published."""
        found: set[str] = set()
        for at in range(0, len(names), SCAN_PAGE_FIELDS):
            page = names[at : at + SCAN_PAGE_FIELDS]
            async with self._client.pipeline(transaction=False) as pipe:
                for name in page:
                    pipe.exists(SourceKeys(self._prefix, name).fence)
                answers = await call(pipe.execute())
            found.update(name for name, there in zip(page, answers, strict=True) if there)
        return found

    async def close(self) -> None:
        """Close all connections."""
        await close_connections(self._client)
