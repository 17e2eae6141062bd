"""The names of all sources: added by their relays, and read by edges.

In a cluster they may lie on another node than what a source publishes: while that one is away,
nobody else waits for it. It must not know what is published.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator

from redis.asyncio import Redis

from marianne_stream.relay.connecting import AWAY, asked, words
from marianne_stream.relay.keys import SOURCE_NAME, Keys, sources_key
from marianne_stream.relay.servers import Server
from marianne_stream.relay.streams import PAGE_FIELDS

logger = logging.getLogger(__name__)

ASK_LIMIT_S = 5.0

# How often a name is said, and how soon again where that failed.
SAID_EVERY_S = 60.0
SAID_AGAIN_S = 2.0

# Any relay may add names. One read looks at so many; the next read goes on behind them.
NAMES_A_READ = 5_000

# On a cluster, each name costs connections of its own.
NAMES_A_READ_OF_CLUSTER = 50


class SourceNames:
    """The names under one prefix.

    Args:
        find_server: returns the server that has a key.
        prefix: what all keys begin with.
    """

    def __init__(self, find_server: Callable[[str], Server], prefix: str) -> None:
        self._find_server = find_server
        self._prefix = prefix
        self._key = sources_key(prefix)
        self._server = find_server(self._key)
        # Whether it is known who has them: asked once, and again after a fault.
        self._found = False
        # Whether it was told that they cannot be asked for.
        self._told = False
        # Where the next read begins (SSCAN).
        self._cursor = 0

    async def say(self, name: str) -> None:
        """Adds a name, again and again until cancelled: who has the names may lose them."""
        while True:
            said = await self._try_to_say(name)
            if said:
                await self.hang_up()
            await asyncio.sleep(SAID_EVERY_S if said else SAID_AGAIN_S)

    async def _try_to_say(self, name: str) -> bool:
        with self._telling("added to", first=True):
            async with asyncio.timeout(ASK_LIMIT_S):
                await asked((await self._client()).sadd(self._key, name))
            return True
        return False

    async def read(self, known: Iterable[str]) -> set[str]:
        """Return names that are not known yet, of sources under which a relay has published.

        A name alone proves nothing: every relay may add any. What lies under a source's own keys
        can be written by that source's relay only.

        Args:
            known: the names that are known; if there are none, nobody else logs a fault.
        """
        known = set(known)
        with self._telling("read", first=not known):
            async with asyncio.timeout(ASK_LIMIT_S):
                names = await self._scan(await self._client())
            return await self._published(sorted(names - known))
        return set()

    async def _scan(self, client: Redis) -> set[str]:
        """The next names that can be names of sources."""
        found: set[str] = set()
        seen = 0
        most = NAMES_A_READ if self._server.has_all_keys else NAMES_A_READ_OF_CLUSTER
        while seen < most:
            self._cursor, page = await asked(
                client.sscan(self._key, cursor=self._cursor, count=min(most, PAGE_FIELDS))
            )
            seen += 1 + len(page)
            names = (name.decode("ascii", "replace") for name in page)
            found.update(name for name in names if SOURCE_NAME.fullmatch(name))
            if not self._cursor:
                break
        return found

    async def _published(self, names: list[str]) -> set[str]:
        """Those of some names under which a relay has published."""
        if not self._server.has_all_keys:
            return {name for name in names if await self._has_published(name)}
        found: set[str] = set()
        for at in range(0, len(names), PAGE_FIELDS):
            page = names[at : at + PAGE_FIELDS]
            async with asyncio.timeout(ASK_LIMIT_S):
                async with (await self._client()).pipeline(transaction=False) as pipe:
                    for name in page:
                        pipe.exists(*proofs(self._prefix, name))
                    answers = await asked(pipe.execute())
            found.update(name for name, there in zip(page, answers, strict=True) if there)
        return found

    async def _has_published(self, name: str) -> bool:
        """Whether a relay has published under a name; False while its node is away."""
        keys = proofs(self._prefix, name)
        server = self._find_server(keys[0])
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                await server.find()
                return bool(await asked(server.client.exists(*keys)))
        except AWAY:
            return False
        finally:
            await server.hang_up()

    async def _client(self) -> Redis:
        if not self._found:
            await self._server.find()
            self._found = True
        return self._server.client

    async def hang_up(self) -> None:
        """Closes all connections."""
        await self._server.hang_up()

    @contextlib.contextmanager
    def _telling(self, what: str, *, first: bool) -> Iterator[None]:
        """Tells of a fault once, until there is none."""
        try:
            yield
        except AWAY as error:
            if first and not self._told:
                logger.warning("the names of sources cannot be %s: %s", what, words(error))
            self._told, self._found = True, False
        else:
            self._told = False


def proofs(prefix: str, name: str) -> tuple[str, str]:
    """The keys of which one is there if a relay has ever published under a name."""
    keys = Keys(prefix, name)
    return keys.fence, keys.about
