"""Threads for reading logs and files: six pools, so that quick calls do not wait for slow ones."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

from marianne_stream.errors import TooManySearchesError
from marianne_stream.logs.thread_pool import FairThreadPool

T = TypeVar("T")

# Limit of concurrent searches in one job's logs.
SEARCHES_PER_JOB = 2


class LogThreads:
    """All pools. Each job has a share of them."""

    def __init__(self) -> None:
        self.readers = FairThreadPool("log-reader", max_threads=6, max_per_job=2)
        self.indexers = FairThreadPool("log-indexer", max_threads=2, max_per_job=1)
        self.finders = FairThreadPool("log-finder", max_threads=2, max_per_job=1)
        self.searchers = FairThreadPool("log-searcher", max_threads=3, max_per_job=2)
        self.matchers = FairThreadPool("log-matcher", max_threads=2, max_per_job=1)
        self.file_workers = FairThreadPool("file-worker", max_threads=2, max_per_job=1)
        self._by_job: WeakValueDictionary[str, JobThreads] = WeakValueDictionary()

    def for_job(self, job_id: str) -> "JobThreads":
        """Return the share of a job. All who hold it at a time get the same."""
        share = self._by_job.get(job_id)
        if share is None:
            share = self._by_job[job_id] = JobThreads(self, job_id)
        return share

    def close(self) -> None:
        """Refuse new calls and stop those that run. May be called twice."""
        logs = (self.readers, self.indexers, self.finders, self.searchers, self.matchers)
        for pool in (*logs, self.file_workers):
            pool.close()


class JobThreads:
    """Share of one job in the pools. Cancelling a caller stops its call."""

    def __init__(self, threads: LogThreads, job_id: str) -> None:
        self._threads = threads
        self.job_id = job_id
        self._search_slots = asyncio.Semaphore(SEARCHES_PER_JOB)

    async def read(self, work: Callable[..., T], *arguments: object) -> T:
        """Run a short read."""
        return await self._threads.readers.run(self.job_id, partial(work, *arguments))

    async def match(self, work: Callable[..., T], *arguments: object) -> T:
        """Match a slice of lines against a filter."""
        return await self._threads.matchers.run(self.job_id, partial(work, *arguments))

    async def index(self, work: Callable[..., T], *arguments: object) -> T:
        """Run a call that reads a whole file."""
        return await self._threads.indexers.run(self.job_id, partial(work, *arguments))

    async def find(self, work: Callable[..., T], *arguments: object) -> T:
        """Run a call that may read many files."""
        return await self._threads.finders.run(self.job_id, partial(work, *arguments))

    async def work_on_files(self, work: Callable[..., T], *arguments: object) -> T:
        """Run a call of up to seconds that no viewer of a log waits for, such as a list."""
        return await self._threads.file_workers.run(self.job_id, partial(work, *arguments))

    async def search(self, work: Callable[..., T], *arguments: object) -> T:
        """Run a part of a search. If there are several, call it inside `search_slot`."""
        return await self._threads.searchers.run(self.job_id, partial(work, *arguments))

    @asynccontextmanager
    async def search_slot(self, *, wait: bool) -> AsyncIterator[None]:
        """Reserve one of the job's searches while the context lasts.

        With `wait`, wait for a free one, first come, first served.

        Raises:
            TooManySearchesError: none is free, and `wait` is false.
        """
        if not wait and self._search_slots.locked():
            raise TooManySearchesError
        async with self._search_slots:
            yield
