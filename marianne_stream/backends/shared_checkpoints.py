"""Reads of checkpoints, shared among requests."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial

# Time for which a checkpoint that was read is given to further requests.
SHARE_S = 2.0

# Each has up to 16 MiB.
MAX_SHARED = 4


class SharedCheckpoints:
    """Reads each version of a checkpoint once for all requests within SHARE_S.

    Args:
        read: reads the checkpoint of a job.
    """

    def __init__(self, read: Callable[[str], Awaitable[bytes]]) -> None:
        self._read = read
        self._reads: dict[Hashable, asyncio.Task[bytes]] = {}
        self._running: set[asyncio.Task[bytes]] = set()

    async def read(self, job_id: str, version: str | None) -> bytes:
        """Return the checkpoint of a job. Cancelling is safe: others may wait for the same read.

        Args:
            job_id: the job.
            version: time of the checkpoint's last change, as far as it is known.
        """
        key = (job_id, version)
        task = self._reads.get(key)
        if task is None:
            task = self._start(key, job_id)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel the reads, and drop their results."""
        self._reads.clear()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self, key: Hashable, job_id: str) -> asyncio.Task[bytes]:
        if len(self._reads) >= MAX_SHARED:
            del self._reads[next(iter(self._reads))]

        async def read() -> bytes:
            return await self._read(job_id)

        task = asyncio.create_task(read(), name=f"checkpoint of {job_id!r}")
        self._reads[key] = task
        self._running.add(task)
        task.add_done_callback(partial(self._on_done, key))
        return task

    def _on_done(self, key: Hashable, task: asyncio.Task[bytes]) -> None:
        self._running.discard(task)
        if task.cancelled() or task.exception() is not None:
            self._forget(key, task)
        else:
            asyncio.get_running_loop().call_later(SHARE_S, self._forget, key, task)

    def _forget(self, key: Hashable, task: asyncio.Task[bytes]) -> None:
        if self._reads.get(key) is task:
            del self._reads[key]
