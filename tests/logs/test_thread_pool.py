"""Tests of the thread pool that jobs share."""

import asyncio
import threading
from functools import partial

import pytest

from marianne_stream.errors import ReadLimitError, ShuttingDownError
from marianne_stream.logs.read_budget import MAX_CALL_BYTES, consume_budget
from marianne_stream.logs.thread_pool import FairThreadPool


@pytest.fixture
def pool() -> FairThreadPool:
    """Provide a pool of three threads, of which a job may use two."""
    return FairThreadPool("test", max_threads=3, max_per_job=2)


def read_until_stopped() -> None:
    """Read until the call is stopped."""
    while True:
        consume_budget(1)


async def test_pool_calls_of_one_job_leave_a_thread_free(pool: FairThreadPool) -> None:
    tasks = [asyncio.create_task(pool.run("greedy", read_until_stopped)) for _ in range(5)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(pool.run("other", lambda: "read"), 10) == "read"
    pool.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {ShuttingDownError}


async def test_pool_cancelled_call_stops_at_next_read(pool: FairThreadPool) -> None:
    ended = threading.Event()

    def work() -> None:
        try:
            read_until_stopped()
        finally:
            ended.set()

    task = asyncio.create_task(pool.run("a", work))
    await asyncio.sleep(0)
    task.cancel()
    assert await asyncio.to_thread(ended.wait, 10)


async def test_pool_call_beyond_read_budget_fails(pool: FairThreadPool) -> None:
    with pytest.raises(ReadLimitError):
        await pool.run("a", lambda: consume_budget(MAX_CALL_BYTES + 1))


async def test_pool_jobs_take_turns(pool: FairThreadPool) -> None:
    may_go, order = threading.Event(), list[str]()
    one_thread = FairThreadPool("test", max_threads=1, max_per_job=1)
    first = asyncio.create_task(one_thread.run("a", lambda: may_go.wait(10)))
    await asyncio.sleep(0)
    waiting = [
        asyncio.create_task(one_thread.run(job_id, partial(order.append, job_id)))
        for job_id in ("a", "a", "a", "b", "c")
    ]
    await asyncio.sleep(0)
    may_go.set()
    await asyncio.gather(first, *waiting)
    assert order.index("b") < 2
    assert order.index("c") < 3


async def test_closed_pool_refuses_calls(pool: FairThreadPool) -> None:
    pool.close()
    with pytest.raises(ShuttingDownError):
        await pool.run("a", read_until_stopped)
