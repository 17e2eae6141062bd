"""The threads in which logs are read: five kinds, so that none waits for a slower one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

from marianne_stream.errors import TooManySearchesError
from marianne_stream.logs.pool import FairPool

T = TypeVar("T")

# How many searches of one job's logs may go on at once.
SEARCHES_PER_JOB = 2


class LogThreads:
    """All threads that read logs; each job has a share of them."""

    def __init__(self) -> None:
        self.readers = FairPool("log-reader", threads=6, per_job=2)
        self.indexers = FairPool("log-indexer", threads=2, per_job=1)
        self.finders = FairPool("log-finder", threads=2, per_job=1)
        self.searchers = FairPool("log-searcher", threads=3, per_job=2)
        self.matchers = FairPool("log-matcher", threads=2, per_job=1)
        self._shares: WeakValueDictionary[str, JobThreads] = WeakValueDictionary()

    def of_job(self, job_id: str) -> "JobThreads":
        """A job's share of the threads: the same for all who hold it."""
        share = self._shares.get(job_id)
        if share is None:
            share = self._shares[job_id] = JobThreads(self, job_id)
        return share

    def close(self) -> None:
        """Takes no more calls, and stops those that run. May be called twice."""
        pools = (self.readers, self.indexers, self.finders, self.searchers, self.matchers)
        for pool in pools:
            pool.close()


class JobThreads:
    """A job's share of the threads. A call whose caller is cancelled is stopped.

    Args:
        threads: all threads.
        job_id: the job.
    """

    def __init__(self, threads: LogThreads, job_id: str) -> None:
        self._threads = threads
        self._job_id = job_id
        self._searches = asyncio.Semaphore(SEARCHES_PER_JOB)

    async def read(self, work: Callable[..., T], *arguments: object) -> T:
        """Runs what takes a moment."""
        return await self._threads.readers.run(self._job_id, partial(work, *arguments))

    async def match(self, work: Callable[..., T], *arguments: object) -> T:
        """Run a slice of matching lines against a filter: a pattern may be slow."""
        return await self._threads.matchers.run(self._job_id, partial(work, *arguments))

    async def index(self, work: Callable[[], T]) -> T:
        """Runs what reads a whole file."""
        return await self._threads.indexers.run(self._job_id, work)

    async def find(self, work: Callable[[], T]) -> T:
        """Runs what may look into many files."""
        return await self._threads.finders.run(self._job_id, work)

    async def search(self, work: Callable[[], T]) -> T:
        """Runs a part of a search. Belongs inside `searching`."""
        return await self._threads.searchers.run(self._job_id, work)

    @asynccontextmanager
    async def searching(self, *, waits: bool) -> AsyncIterator[None]:
        """Makes room for a search of the job's log, for as long as the context lasts.

        Args:
            waits: whether to wait for room where there is none; who came first gets it first.

        Raises:
            TooManySearchesError: as many searches of this job's log as there may be are going on.
        """
        if not waits and self._searches.locked():
            raise TooManySearchesError
        async with self._searches:
            yield
