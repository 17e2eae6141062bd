"""The names of all sources: added by their relays, and read by edges.

It must not know what is published.
"""

import asyncio
import logging
from collections.abc import Iterable

from redis.asyncio import Redis

from marianne_stream.relay.connecting import AWAY, asked, hang_up, words
from marianne_stream.relay.keys import SOURCE_NAME, Keys, sources_key
from marianne_stream.relay.streams import PAGE_FIELDS

logger = logging.getLogger(__name__)

ASK_LIMIT_S = 5.0

# Any relay may add names. One read looks at so many; the next read goes on behind them.
NAMES_A_READ = 5_000


class SourceNames:
    """The names under one prefix.

    Args:
        client: of Redis.
        prefix: what all keys begin with.
    """

    def __init__(self, client: Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._key = sources_key(prefix)
        # Whether it was logged that they cannot be read.
        self._told = False
        # Where the next read begins (SSCAN).
        self._cursor = 0

    async def read(self, known: Iterable[str]) -> set[str]:
        """Return names that are not known yet, of sources under which a relay has published.

        A name alone proves nothing: every relay may add any. What lies under a source's own keys
        can be written by that source's relay only.

        Args:
            known: the names that are known; if there are none, nobody else logs a fault.
        """
        known = set(known)
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                names = await self._scan()
                found = await self._published(sorted(names - known))
        except AWAY as error:
            if not known and not self._told:
                logger.warning("the names of sources cannot be read: %s", words(error))
            self._told = True
            await hang_up(self._client)
            return set()
        self._told = False
        return found

    async def _scan(self) -> set[str]:
        """Return the next names that can be names of sources."""
        found: set[str] = set()
        seen = 0
        while seen < NAMES_A_READ:
            scan = self._client.sscan(self._key, cursor=self._cursor, count=PAGE_FIELDS)
            self._cursor, page = await asked(scan)
            seen += 1 + len(page)
            names = (name.decode("ascii", "replace") for name in page)
            found.update(name for name in names if SOURCE_NAME.fullmatch(name))
            if not self._cursor:
                break
        return found

    async def _published(self, names: list[str]) -> set[str]:
        """Return those of some names under which a relay has published."""
        found: set[str] = set()
        for at in range(0, len(names), PAGE_FIELDS):
            page = names[at : at + PAGE_FIELDS]
            async with self._client.pipeline(transaction=False) as pipe:
                for name in page:
                    pipe.exists(Keys(self._prefix, name).fence)
                answers = await asked(pipe.execute())
            found.update(name for name, there in zip(page, answers, strict=True) if there)
        return found

    async def hang_up(self) -> None:
        """Close all connections."""
        await hang_up(self._client)
