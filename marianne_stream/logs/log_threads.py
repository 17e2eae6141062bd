"""The threads in which logs are read: five kinds, so that none waits for a slower one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

from marianne_stream.errors import TooManySearchesError
from marianne_stream.logs.thread_pool import FairThreadPool

T = TypeVar("T")

# How many searches of one job's logs may go on at once.
SEARCHES_PER_JOB = 2


class LogThreads:
    """All threads that read logs; each job has a share of them."""

    def __init__(self) -> None:
        self.readers = FairThreadPool("log-reader", max_threads=6, max_per_job=2)
        self.indexers = FairThreadPool("log-indexer", max_threads=2, max_per_job=1)
        self.finders = FairThreadPool("log-finder", max_threads=2, max_per_job=1)
        self.searchers = FairThreadPool("log-searcher", max_threads=3, max_per_job=2)
        self.matchers = FairThreadPool("log-matcher", max_threads=2, max_per_job=1)
        self._by_job: WeakValueDictionary[str, JobThreads] = WeakValueDictionary()

    def for_job(self, job_id: str) -> "JobThreads":
        """A job's share of the threads: the same for all who hold it."""
        share = self._by_job.get(job_id)
        if share is None:
            share = self._by_job[job_id] = JobThreads(self, job_id)
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
        self._search_slots = asyncio.Semaphore(SEARCHES_PER_JOB)

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
    async def search_slot(self, *, wait: bool) -> AsyncIterator[None]:
        """Makes room for a search of the job's log, for as long as the context lasts.

        Args:
            wait: whether to wait for room where there is none; who came first gets it first.

        Raises:
            TooManySearchesError: as many searches of this job's log as there may be are going on.
        """
        if not wait and self._search_slots.locked():
            raise TooManySearchesError
        async with self._search_slots:
            yield
