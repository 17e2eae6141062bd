"""The threads in which logs are read: two kinds, so that none waits for the slower one."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

T = TypeVar("T")

READERS = 6
INDEXERS = 2


class LogThreads:
    """Runs what blocks. A cancelled call goes on in its thread to its end, unheard."""

    def __init__(self) -> None:
        self._readers = ThreadPoolExecutor(READERS, "log-reader")
        self._indexers = ThreadPoolExecutor(INDEXERS, "log-indexer")

    async def read(self, work: Callable[..., T], *arguments: object) -> T:
        """Runs what takes a moment."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, partial(work, *arguments))

    async def index(self, work: Callable[[threading.Event], T]) -> T:
        """Runs what reads a whole file; it is told when nobody waits for it any more."""
        stop = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._indexers, work, stop)
        finally:
            stop.set()

    def close(self) -> None:
        """Takes no more work. What is running ends by itself."""
        for executor in (self._readers, self._indexers):
            executor.shutdown(wait=False, cancel_futures=True)
