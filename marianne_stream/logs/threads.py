"""The threads in which logs are read: four kinds, so that none waits for a slower one."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from marianne_stream.errors import TooManySearchesError

T = TypeVar("T")

READERS = 6
INDEXERS = 2
FINDERS = 2
SEARCHERS = 2


class LogThreads:
    """Runs what blocks. A cancelled call goes on in its thread to its end, unheard."""

    def __init__(self) -> None:
        self._readers = ThreadPoolExecutor(READERS, "log-reader")
        self._indexers = ThreadPoolExecutor(INDEXERS, "log-indexer")
        self._finders = ThreadPoolExecutor(FINDERS, "log-finder")
        self._searchers = ThreadPoolExecutor(SEARCHERS, "log-searcher")
        self._places = asyncio.Semaphore(SEARCHERS)

    async def read(self, work: Callable[..., T], *arguments: object) -> T:
        """Runs what takes a moment."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, partial(work, *arguments))

    async def index(self, work: Callable[[threading.Event], T]) -> T:
        """Runs what reads a whole file; it is told when nobody waits for it any more."""
        return await stoppable(self._indexers, work)

    async def find(self, work: Callable[[threading.Event], T]) -> T:
        """Runs what may look into many files, as `index` does."""
        return await stoppable(self._finders, work)

    async def search(self, work: Callable[[threading.Event], T]) -> T:
        """Runs a part of a search, as `index` does. Belongs inside `searching`."""
        return await stoppable(self._searchers, work)

    @asynccontextmanager
    async def searching(self, *, waits: bool) -> AsyncIterator[None]:
        """Makes room for a search, for as long as the context lasts.

        Args:
            waits: whether to wait for room where there is none; who came first gets it first.

        Raises:
            TooManySearchesError: as many as there are threads for are going on.
        """
        if not waits and self._places.locked():
            raise TooManySearchesError
        async with self._places:
            yield

    def close(self) -> None:
        """Takes no more work. What is running ends by itself."""
        for executor in (self._readers, self._indexers, self._finders, self._searchers):
            executor.shutdown(wait=False, cancel_futures=True)


async def stoppable(executor: ThreadPoolExecutor, work: Callable[[threading.Event], T]) -> T:
    """Runs what is told when nobody waits for it any more."""
    stop = threading.Event()
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, work, stop)
    finally:
        stop.set()
