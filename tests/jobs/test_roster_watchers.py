"""Watchers of the jobs of the roster start and stop with their clients."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from marianne_stream.errors import StateUnavailableError
from marianne_stream.jobs import roster_watchers as watchers_module
from marianne_stream.jobs.progress import ProgressTimes
from marianne_stream.jobs.progress_tracker import ProgressTracker, load_nothing
from marianne_stream.jobs.read_limiter import StateReadLimiter, make_shared_limiter
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.roster_watchers import MAX_WATCHED_JOBS, RosterJobWatchers
from marianne_stream.jobs.snapshots import JobSnapshot, SnapshotEnd
from marianne_stream.jobs.subscriptions import JobSubscription
from marianne_stream.jobs.watcher import JobWatcher
from marianne_stream.models import JobState, Roster, RosterEntry
from tests.support.backends import FakeBackend
from tests.support.waiting import wait_until


class Jobs:
    """Hands out subscriptions to jobs whose watchers do not run."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, JobSubscription] = {}
        self.subscribe_counts: Counter[str] = Counter()
        self.failing: set[str] = set()
        self._poller = RosterPoller(FakeBackend(), on_roster=lambda _roster: None)

    async def subscribe_job(
        self, job_id: str, interval_s: float
    ) -> tuple[JobSnapshot, JobSubscription]:
        self.subscribe_counts[job_id] += 1
        await asyncio.sleep(0)
        if job_id in self.failing:
            raise StateUnavailableError
        assert job_id not in self.subscriptions
        watcher = JobWatcher(
            job_id,
            backend=FakeBackend(),
            roster_poller=self._poller,
            read_limiter=StateReadLimiter(),
            tracker=ProgressTracker(ProgressTimes(), load_nothing),
        )
        subscription = JobSubscription(watcher, interval_s, on_close=self._on_close)
        self.subscriptions[job_id] = subscription
        return make_snapshot(job_id), subscription

    def end(self, job_id: str, end: SnapshotEnd) -> None:
        """End a job that is watched."""
        self.subscriptions[job_id].queue.offer(make_snapshot(job_id, end))

    def intervals(self) -> set[float]:
        """Return the intervals of all subscriptions, in seconds."""
        return {subscription._interval_s for subscription in self.subscriptions.values()}

    def _on_close(self, watcher: JobWatcher) -> None:
        del self.subscriptions[watcher.job_id]


def make_snapshot(job_id: str, end: SnapshotEnd = "") -> JobSnapshot:
    state = JobState(job_id, "running", "conductor", live=True, checkpoint_status="running")
    return JobSnapshot(state, source="conductor", live=True, end=end)


def make_roster(*job_ids: str, finished: tuple[str, ...] = ()) -> Roster:
    """Return a roster of running jobs, the last one newest, and of finished jobs."""
    entries = {
        job_id: RosterEntry(job_id, "completed" if job_id in finished else "running", float(number))
        for number, job_id in enumerate((*job_ids, *finished))
    }
    return Roster(entries, source="conductor", live=True)


@asynccontextmanager
async def run_watchers(jobs: Jobs) -> AsyncIterator[RosterJobWatchers]:
    """Yield watchers, which must have closed all subscriptions in the end."""
    watchers = RosterJobWatchers(jobs.subscribe_job, make_shared_limiter())
    try:
        yield watchers
    finally:
        await watchers.close()
        assert not jobs.subscriptions


@pytest.fixture
def jobs() -> Jobs:
    """Return jobs without subscriptions."""
    return Jobs()


async def test_jobs_with_client_watched(jobs: Jobs) -> None:
    async with run_watchers(jobs) as watchers:
        watchers.on_roster(make_roster("a", "b", finished=("c",)))
        assert not jobs.subscribe_counts
        watchers.intervals.add(2.0)
        watchers.intervals.add(2.0)
        await wait_until(lambda: jobs.subscriptions.keys() == {"a", "b"})
        watchers.intervals.remove(2.0)
        watchers.on_roster(make_roster("a", "b", "d"))
        await wait_until(lambda: jobs.subscriptions.keys() == {"a", "b", "d"})
        watchers.on_roster(make_roster("b", "d"))
        await wait_until(lambda: jobs.subscriptions.keys() == {"b", "d"})
        watchers.intervals.remove(2.0)
        await wait_until(lambda: not jobs.subscriptions)
    assert set(jobs.subscribe_counts.values()) == {1}


async def test_jobs_above_limit_newest_watched(jobs: Jobs) -> None:
    job_ids = [f"{number}" for number in range(MAX_WATCHED_JOBS + 20)]
    async with run_watchers(jobs) as watchers:
        watchers.intervals.add(2.0)
        watchers.on_roster(make_roster(*job_ids))
        await wait_until(lambda: len(jobs.subscriptions) == MAX_WATCHED_JOBS)
        assert jobs.subscriptions.keys() == set(job_ids[20:])
        assert next(iter(jobs.subscriptions)) == job_ids[-1]


async def test_finished_job_watched_until_end_seen(jobs: Jobs) -> None:
    async with run_watchers(jobs) as watchers:
        watchers.intervals.add(2.0)
        watchers.on_roster(make_roster("a"))
        await wait_until(lambda: jobs.subscriptions)
        watchers.on_roster(make_roster(finished=("a",)))
        await asyncio.sleep(0)
        assert jobs.subscriptions
        jobs.end("a", "finished")
        await wait_until(lambda: not jobs.subscriptions)
        watchers.on_roster(make_roster(finished=("a",)))
        await asyncio.sleep(0)
        assert jobs.subscribe_counts["a"] == 1
        watchers.on_roster(make_roster("a"))
        await wait_until(lambda: jobs.subscriptions)


@pytest.mark.parametrize("end", ["fault", "deleted"])
async def test_watcher_ended_early_restarted(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, end: SnapshotEnd
) -> None:
    monkeypatch.setattr(watchers_module, "FIRST_FAILURE_DELAY_S", 0.001)
    async with run_watchers(jobs) as watchers:
        watchers.intervals.add(2.0)
        watchers.on_roster(make_roster("a"))
        await wait_until(lambda: jobs.subscriptions)
        jobs.end("a", end)
        await wait_until(lambda: jobs.subscribe_counts["a"] == 2 and jobs.subscriptions)


async def test_failed_job_retried_without_harm_to_others(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers_module, "FIRST_FAILURE_DELAY_S", 0.001)
    jobs.failing = {"bad"}
    async with run_watchers(jobs) as watchers:
        watchers.intervals.add(2.0)
        watchers.on_roster(make_roster("a", "bad"))
        await wait_until(
            lambda: jobs.subscriptions.keys() == {"a"} and jobs.subscribe_counts["bad"] > 1
        )
        jobs.failing = set()
        await wait_until(lambda: jobs.subscriptions.keys() == {"a", "bad"})


async def test_failed_job_not_retried_after_end(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers_module, "FIRST_FAILURE_DELAY_S", 0.001)
    jobs.failing = {"bad"}
    async with run_watchers(jobs) as watchers:
        watchers.intervals.add(2.0)
        watchers.on_roster(make_roster("bad"))
        await wait_until(lambda: jobs.subscribe_counts["bad"] > 1)
        watchers.on_roster(make_roster(finished=("bad",)))
        await wait_until(lambda: not len(watchers._job_tasks))


async def test_intervals_of_clients_shortest_used(jobs: Jobs) -> None:
    async with run_watchers(jobs) as watchers:
        watchers.intervals.add(2.0)
        watchers.on_roster(make_roster("a", "b"))
        await wait_until(lambda: len(jobs.subscriptions) == 2)
        watchers.intervals.add(0.5)
        assert jobs.intervals() == {0.5}
        watchers.intervals.remove(0.5)
        assert jobs.intervals() == {2.0}


async def test_task_with_bug_logged_once(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(job_id: str, interval_s: float) -> tuple[JobSnapshot, JobSubscription]:
        jobs.subscribe_counts[job_id] += 1
        raise RuntimeError(f"{job_id} at {interval_s}")

    watchers = RosterJobWatchers(fail, make_shared_limiter())
    watchers.intervals.add(2.0)
    for _ in range(3):
        watchers.on_roster(make_roster("a"))
        await wait_until(lambda: not len(watchers._job_tasks))
    await watchers.close()
    assert jobs.subscribe_counts["a"] == 1
    assert [record.getMessage() for record in caplog.records] == ["roster watcher failed job='a'"]


async def test_task_with_bug_frees_slot_and_restarts_later(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers_module, "MAX_WATCHED_JOBS", 1)
    broken = {"new"}

    async def watch(job_id: str, interval_s: float) -> tuple[JobSnapshot, JobSubscription]:
        if job_id in broken:
            raise RuntimeError(job_id)
        return await jobs.subscribe_job(job_id, interval_s)

    watchers = RosterJobWatchers(watch, make_shared_limiter())
    watchers.intervals.add(2.0)
    watchers.on_roster(make_roster("old", "new"))
    await wait_until(lambda: not len(watchers._job_tasks))
    watchers.on_roster(make_roster("old", "new"))
    await wait_until(lambda: jobs.subscriptions.keys() == {"old"})
    broken.clear()
    watchers.on_roster(make_roster("old", finished=("new",)))
    watchers.on_roster(make_roster("old", "new"))
    await wait_until(lambda: jobs.subscriptions.keys() == {"new"})
    await watchers.close()
