"""Checks of logs for signs of life: files and file systems that fail."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.jobs import stall_monitor
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.stall_monitor import StallMonitor
from tests.support.backends import FakeBackend
from tests.support.waiting import wait_until


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> JobHub:
    """Return a hub with four running jobs."""
    hub = JobHub(FakeBackend(), ReplayBuffer())
    monkeypatch.setattr(hub, "running_job_ids", lambda: ["a", "b", "c", "d"])
    return hub


def make_reader(
    **logs: Callable[[], Awaitable[float | None]],
) -> tuple[Callable[[str], Awaitable[float | None]], list[str]]:
    """Return a function that reads these logs and, of other jobs, 1.0; and the jobs it was for."""
    calls: list[str] = []

    async def read(job_id: str) -> float | None:
        calls.append(job_id)
        return await logs[job_id]() if job_id in logs else 1.0

    return read, calls


async def test_file_that_cannot_be_opened_ends_no_check(hub: JobHub) -> None:
    async def fail() -> float | None:
        raise OSError(24, "Too many open files")

    read, _ = make_reader(a=fail)
    await StallMonitor(hub, read).check_jobs()
    assert [hub.roster.progress.get_activity(job_id) for job_id in "abcd"] == [None, 1.0, 1.0, 1.0]


async def test_hanging_file_system_delays_no_other_job(
    hub: JobHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall_monitor, "CHECK_TIMEOUT_S", 0.01)
    monkeypatch.setattr(stall_monitor, "CHECK_INTERVAL_S", 0.0)
    checks = 0

    def count_check() -> None:
        nonlocal checks
        checks += 1

    monkeypatch.setattr(hub, "update_progress", count_check)

    async def hang() -> float | None:
        await asyncio.Event().wait()
        return None

    read, calls = make_reader(a=hang)
    monitor = asyncio.create_task(StallMonitor(hub, read).run())
    await wait_until(lambda: checks >= 2)
    # The log that hangs is not opened again.
    assert calls.count("a") == 1
    assert hub.roster.progress.get_activity("d") == 1.0
    monitor.cancel()
    await asyncio.gather(monitor, return_exceptions=True)


async def hang_until_answered(answer: asyncio.Event) -> float | None:
    await answer.wait()
    return 2.0


async def test_hanging_file_systems_hold_few_threads(
    hub: JobHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall_monitor, "CHECK_TIMEOUT_S", 0.01)
    monkeypatch.setattr(stall_monitor, "MAX_LOG_CHECKS", 2)
    answer = asyncio.Event()
    hang = partial(hang_until_answered, answer)
    read, calls = make_reader(a=hang, b=hang, c=hang)
    monitor = StallMonitor(hub, read)
    await monitor.check_jobs()
    await monitor.check_jobs()
    assert calls == ["a", "b"]
    answer.set()
    await wait_until(lambda: hub.roster.progress.get_activity("d") == 1.0)
    assert hub.roster.progress.get_activity("c") == 2.0
    assert calls == ["a", "b", "c", "d"]


async def test_slow_logs_are_read_together(hub: JobHub) -> None:
    reading: set[str] = set()
    all_read = asyncio.Event()

    async def read(job_id: str) -> float | None:
        reading.add(job_id)
        if len(reading) == 3:
            all_read.set()
        await all_read.wait()
        return 1.0

    await StallMonitor(hub, read).check_jobs()
    assert hub.roster.progress.get_activity("d") == 1.0


async def test_silence_counts_until_the_last_check_of_the_log(
    hub: JobHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall_monitor, "CHECK_TIMEOUT_S", 0.01)

    async def fail() -> float | None:
        raise OSError(5, "Input/output error")

    read, _ = make_reader(a=fail, b=partial(hang_until_answered, asyncio.Event()))
    monitor = StallMonitor(hub, read)
    progress = hub.roster.progress
    await monitor.check_jobs()
    known_until = {job_id: progress.silence_until(job_id) for job_id in "abc"}
    await monitor.check_jobs()
    # Nobody knows if `a` and `b` have written their logs since.
    assert progress.silence_until("a") == known_until["a"]
    assert progress.silence_until("b") == known_until["b"]
    assert progress.silence_until("c") > known_until["c"]


async def test_job_without_a_log_is_not_looked_at_again_soon(
    hub: JobHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_none() -> float | None:
        return None

    read, calls = make_reader(a=find_none)
    monitor = StallMonitor(hub, read)
    await monitor.check_jobs()
    known_until = hub.roster.progress.silence_until("a")
    await monitor.check_jobs()
    assert calls.count("a") == 1
    assert hub.roster.progress.silence_until("a") == known_until
    monkeypatch.setattr(stall_monitor, "NO_LOG_S", 0.0)
    monitor = StallMonitor(hub, read)
    await monitor.check_jobs()
    await monitor.check_jobs()
    assert calls.count("a") == 3


async def test_quiet_jobs_let_file_events_be_read(
    hub: JobHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[None] = []

    async def read_activity() -> None:
        reads.append(None)

    monkeypatch.setattr(hub.events, "read_activity", read_activity)
    read, _ = make_reader()
    monitor = StallMonitor(hub, read)
    await monitor.check_jobs()
    for job_id in "abcd":
        hub.roster.progress.record_activity(job_id, time.time())
    await monitor.check_jobs()
    assert len(reads) == 1


async def test_write_in_the_future_is_one_of_now(hub: JobHub) -> None:
    async def read_future() -> float | None:
        return time.time() + 3600

    read, _ = make_reader(a=read_future)
    await StallMonitor(hub, read).check_jobs()
    activity_at = hub.roster.progress.get_activity("a")
    assert activity_at is not None
    assert activity_at <= time.time()
