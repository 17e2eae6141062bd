"""Reads of checkpoints that several requests share."""

import asyncio

import pytest

from marianne_stream.backends.shared_checkpoints import MAX_SHARED, SharedCheckpoints
from marianne_stream.errors import StateUnavailableError
from tests.support.waiting import wait_until


class SlowReads:
    """Reads that wait to be let go, and are counted by job."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.release = asyncio.Event()
        self.error: Exception | None = None

    async def read(self, job_id: str) -> bytes:
        self.began.append(job_id)
        await self.release.wait()
        if self.error is not None:
            raise self.error
        return job_id.encode()


async def test_read_goes_on_if_its_first_request_is_cancelled() -> None:
    reads = SlowReads()
    shared = SharedCheckpoints(reads.read)
    first = asyncio.create_task(shared.read("a", "1"))
    second = asyncio.create_task(shared.read("a", "1"))
    await wait_until(lambda: reads.began)
    first.cancel()
    reads.release.set()
    assert await second == b"a"
    assert await shared.read("a", "1") == b"a"
    assert reads.began == ["a"]
    await shared.read("a", "2")
    assert reads.began == ["a", "a"]
    await shared.close()


async def test_failed_read_is_not_kept() -> None:
    reads = SlowReads()
    reads.release.set()
    reads.error = StateUnavailableError("busy")
    shared = SharedCheckpoints(reads.read)
    with pytest.raises(StateUnavailableError):
        await shared.read("a", None)
    reads.error = None
    assert await shared.read("a", None) == b"a"
    await shared.close()


async def test_few_checkpoints_are_kept_and_waiting_requests_get_theirs() -> None:
    reads = SlowReads()
    shared = SharedCheckpoints(reads.read)
    names = [str(number) for number in range(MAX_SHARED + 2)]
    tasks = [asyncio.create_task(shared.read(name, None)) for name in names]
    await wait_until(lambda: len(reads.began) == len(names))
    reads.release.set()
    assert await asyncio.gather(*tasks) == [name.encode() for name in names]
    await shared.read(names[-1], None)
    await shared.read(names[0], None)
    assert reads.began == [*names, names[0]]
    await shared.close()


async def test_close_cancels_reads() -> None:
    reads = SlowReads()
    shared = SharedCheckpoints(reads.read)
    task = asyncio.create_task(shared.read("a", None))
    await wait_until(lambda: reads.began)
    await shared.close()
    with pytest.raises(asyncio.CancelledError):
        await task
