"""Checks of logs for signs of life: files and file systems that fail."""

import asyncio
import time
from collections.abc import Awaitable, Callable

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
    monkeypatch.setattr(stall_monitor, "LOG_TIMEOUT_S", 0.01)
    monkeypatch.setattr(stall_monitor, "CHECK_INTERVAL_S", 0.0)
    checks = 0

    def count_check() -> None:
        nonlocal checks
        checks += 1

    monkeypatch.setattr(hub, "update_stalled", count_check)

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


async def test_hanging_file_systems_hold_few_threads(
    hub: JobHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall_monitor, "LOG_TIMEOUT_S", 0.01)
    answer = asyncio.Event()

    async def hang() -> float | None:
        await answer.wait()
        return 2.0

    read, calls = make_reader(a=hang, b=hang, c=hang)
    monitor = StallMonitor(hub, read)
    await monitor.check_jobs()
    await monitor.check_jobs()
    assert calls == ["a", "b"]
    answer.set()
    await wait_until(lambda: hub.roster.progress.get_activity("b") == 2.0)
    await monitor.check_jobs()
    assert hub.roster.progress.get_activity("c") == 2.0


async def test_write_in_the_future_is_one_of_now(hub: JobHub) -> None:
    async def read_future() -> float | None:
        return time.time() + 3600

    read, _ = make_reader(a=read_future)
    await StallMonitor(hub, read).check_jobs()
    activity_at = hub.roster.progress.get_activity("a")
    assert activity_at is not None
    assert activity_at <= time.time()
