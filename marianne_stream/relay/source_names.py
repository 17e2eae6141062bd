"""The names of all sources: said by their relays, and read by edges.

In a cluster they may lie on another node than what a source publishes: while that one is away,
nobody else waits for it. It must not know what is published.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from redis.asyncio import Redis

from marianne_stream.relay.connecting import AWAY, asked, words
from marianne_stream.relay.keys import sources_key
from marianne_stream.relay.servers import Server

logger = logging.getLogger(__name__)

ASK_LIMIT_S = 5.0

# How often a name is said, and how soon again where that failed.
SAID_EVERY_S = 60.0
SAID_AGAIN_S = 2.0


class SourceNames:
    """The names under one prefix.

    Args:
        server: who has them.
        prefix: what all keys begin with.
    """

    def __init__(self, server: Server, prefix: str) -> None:
        self._server = server
        self._key = sources_key(prefix)
        # Whether it is known who has them: asked once, and again after a fault.
        self._found = False
        # Whether it was told that they cannot be asked for.
        self._told = False

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

    async def read(self, *, first: bool) -> set[str]:
        """All of them; none while they cannot be asked for.

        Args:
            first: whether none was read yet, so that nobody else tells when they cannot be.
        """
        with self._telling("read", first=first):
            async with asyncio.timeout(ASK_LIMIT_S):
                found = await asked((await self._client()).smembers(self._key))
            return {name.decode() for name in found}
        return set()

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
