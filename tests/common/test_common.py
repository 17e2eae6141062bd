"""Tests of the shared mechanisms: backoff, repeated log messages, intervals, task sets."""

import asyncio
import logging

import pytest

from marianne_stream.common.backoff import Backoff
from marianne_stream.common.intervals import SharedInterval
from marianne_stream.common.repeated_logs import LogLimiter, WarnOnce
from marianne_stream.common.task_set import KeyedTasks, run_until_first_failure
from tests.support.waiting import wait_until

logger = logging.getLogger("tests.common")


def test_backoff_doubles_up_to_its_cap_and_resets() -> None:
    backoff = Backoff(first_s=1.0, cap_s=5.0, jitter=0.0, healthy_after_s=10.0)
    assert [backoff.next_delay_s() for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    backoff.session_ended(9.0)
    assert backoff.next_delay_s() == 5.0
    backoff.session_ended(11.0)
    assert backoff.next_delay_s() == 1.0


def test_backoff_with_jitter_stays_below_its_cap() -> None:
    backoff = Backoff(first_s=1.0, cap_s=5.0, jitter=0.2, uniform=lambda _low, high: high)
    assert [backoff.next_delay_s() for _ in range(4)] == [1.2, 2.4, 4.8, 5.0]
    backoff = Backoff(first_s=1.0, cap_s=5.0, jitter=0.2, uniform=lambda low, _high: low)
    assert [backoff.next_delay_s() for _ in range(4)] == [0.8, 1.6, 3.2, 4.0]


def test_warn_once_logs_again_after_recovery_or_if_the_text_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    problem = WarnOnce(logger)
    problem.recover("all is well")
    for reason in ("away", "away", "busy"):
        problem.warn("source failed reason=%s", reason)
    assert problem.has_warned
    problem.recover("source recovered")
    problem.warn("source failed reason=%s", "busy")
    assert caplog.messages == [
        "source failed reason=away",
        "source failed reason=busy",
        "source recovered",
        "source failed reason=busy",
    ]


def test_log_limiter_allows_one_message_an_interval() -> None:
    now = 100.0
    limiter = LogLimiter(60.0, clock=lambda: now)
    assert [limiter.is_due(), limiter.is_due()] == [True, False]
    now = 160.0
    assert limiter.is_due()


def test_shared_interval_is_the_shortest_of_its_users() -> None:
    interval = SharedInterval()
    assert (bool(interval), interval.shortest_s()) == (False, None)
    for interval_s in (1.0, 0.25, 0.25):
        interval.add(interval_s)
    interval.remove(0.25)
    assert interval.shortest_s() == 0.25
    interval.remove(0.25)
    assert interval.shortest_s() == 1.0


async def test_keyed_tasks_forget_what_ends_and_report_what_fails() -> None:
    failed: list[tuple[str, BaseException]] = []
    tasks = KeyedTasks[str](lambda key, error: failed.append((key, error)))

    async def fail() -> None:
        raise ValueError("broken")

    tasks.start("a", asyncio.sleep(0), name="a")
    tasks.start("b", fail(), name="b")
    sleeper = tasks.start("c", asyncio.sleep(60), name="c")
    with pytest.raises(RuntimeError, match="there is a task for 'c' already"):
        tasks.start("c", asyncio.sleep(0), name="c")
    await wait_until(lambda: len(tasks) == 1)
    assert [key for key, _ in failed] == ["b"]
    assert tasks.keys() == {"c"}
    await tasks.close()
    assert sleeper.cancelled()
    assert len(tasks) == 0


async def test_end_of_a_task_that_may_not_end_is_a_failure() -> None:
    failed: list[str] = []
    tasks = KeyedTasks[str](lambda key, error: failed.append(f"{key}: {error}"), may_end=False)
    tasks.start("a", asyncio.sleep(0), name="a")
    tasks.start("b", asyncio.sleep(60), name="b")
    await wait_until(lambda: len(tasks) == 1)
    await tasks.close()
    assert failed == ["a: the task ended"]


async def test_keyed_tasks_start_again_after_cancel() -> None:
    tasks = KeyedTasks[str]()
    first = tasks.start("a", asyncio.sleep(60), name="a")
    assert tasks.cancel("a") is first
    assert tasks.cancel("a") is None
    second = tasks.start("a", asyncio.sleep(60), name="a")
    await asyncio.wait([first])
    assert "a" in tasks
    await tasks.close()
    assert second.cancelled()


async def test_keyed_tasks_close_waits_for_cancelled_tasks() -> None:
    ended = False

    async def end_slowly() -> None:
        nonlocal ended
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ended = True

    tasks = KeyedTasks[str]()
    tasks.start("a", end_slowly(), name="a")
    await asyncio.sleep(0)
    tasks.cancel("a")
    await asyncio.sleep(0)
    assert not ended
    await tasks.close()
    assert ended


async def test_first_failure_cancels_the_other_coroutines() -> None:
    was_cancelled = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            was_cancelled.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await run_until_first_failure(wait(), fail())
    assert was_cancelled.is_set()
