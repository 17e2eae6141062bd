"""Lookouts hold on to the jobs of the roster while somebody wants that, and let go of all."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from marianne_stream.errors import StateUnavailableError
from marianne_stream.jobs import roster_watchers as lookouts_module
from marianne_stream.jobs.progress import ProgressTimes
from marianne_stream.jobs.read_limiter import StateReadLimiter
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.roster_watchers import MAX_WATCHED_JOBS, RosterJobWatchers
from marianne_stream.jobs.snapshots import JobSnapshot, SnapshotEnd
from marianne_stream.jobs.subscriptions import JobSubscription
from marianne_stream.jobs.watcher import JobWatcher
from marianne_stream.models import JobState, Roster, RosterEntry
from tests.support.backends import Source
from tests.support.waiting import wait_until


class Jobs:
    """Hands out subscriptions to jobs whose watchers do not run."""

    def __init__(self) -> None:
        self.held: dict[str, JobSubscription] = {}
        self.asked: Counter[str] = Counter()
        self.failing: set[str] = set()
        self._poller = RosterPoller(Source(), on_roster=lambda _roster: None)

    async def subscribe_job(
        self, job_id: str, interval_s: float
    ) -> tuple[JobSnapshot, JobSubscription]:
        self.asked[job_id] += 1
        await asyncio.sleep(0)
        if job_id in self.failing:
            raise StateUnavailableError
        assert job_id not in self.held
        watcher = JobWatcher(
            job_id,
            backend=Source(),
            roster_poller=self._poller,
            read_limiter=StateReadLimiter(),
            progress=ProgressTimes(),
        )
        subscription = JobSubscription(watcher, self._poller, interval_s, on_close=self._on_close)
        self.held[job_id] = subscription
        return view_of(job_id), subscription

    def end(self, job_id: str, end: SnapshotEnd) -> None:
        """End a job that is watched."""
        self.held[job_id].queue.offer(view_of(job_id, end))

    def intervals(self) -> set[float]:
        """Return the intervals of all subscriptions, in seconds."""
        return {subscription._interval_s for subscription in self.held.values()}

    def _on_close(self, watcher: JobWatcher) -> None:
        del self.held[watcher.job_id]


def view_of(job_id: str, end: SnapshotEnd = "") -> JobSnapshot:
    state = JobState(job_id, "running", "conductor", live=True, checkpoint_status="running")
    return JobSnapshot(state, source="conductor", live=True, end=end)


def roster_of(*job_ids: str, over: tuple[str, ...] = ()) -> Roster:
    """A roster of running jobs, the last of them the newest, and of some that are over."""
    entries = {
        job_id: RosterEntry(job_id, "completed" if job_id in over else "running", float(number))
        for number, job_id in enumerate((*job_ids, *over))
    }
    return Roster(entries, source="conductor", live=True)


@asynccontextmanager
async def posting(jobs: Jobs) -> AsyncIterator[RosterJobWatchers]:
    """Lookouts that are called back in the end, and have let go of everything then."""
    lookouts = RosterJobWatchers(jobs.subscribe_job)
    try:
        yield lookouts
    finally:
        await lookouts.close()
        assert not jobs.held


@pytest.fixture
def jobs() -> Jobs:
    """What is watched."""
    return Jobs()


async def test_jobs_are_watched_while_somebody_wants_that(jobs: Jobs) -> None:
    async with posting(jobs) as lookouts:
        lookouts.on_roster(roster_of("a", "b", over=("c",)))
        assert not jobs.asked
        lookouts.add_interval(2.0)
        lookouts.add_interval(2.0)
        await wait_until(lambda: jobs.held.keys() == {"a", "b"})
        lookouts.remove_interval(2.0)
        lookouts.on_roster(roster_of("a", "b", "d"))
        await wait_until(lambda: jobs.held.keys() == {"a", "b", "d"})
        lookouts.on_roster(roster_of("b", "d"))
        await wait_until(lambda: jobs.held.keys() == {"b", "d"})
        lookouts.remove_interval(2.0)
        await wait_until(lambda: not jobs.held)
    assert set(jobs.asked.values()) == {1}


async def test_the_newest_jobs_are_watched_and_no_more_than_a_hundred(jobs: Jobs) -> None:
    job_ids = [f"{number}" for number in range(MAX_WATCHED_JOBS + 20)]
    async with posting(jobs) as lookouts:
        lookouts.add_interval(2.0)
        lookouts.on_roster(roster_of(*job_ids))
        await wait_until(lambda: len(jobs.held) == MAX_WATCHED_JOBS)
        assert jobs.held.keys() == set(job_ids[20:])
        assert next(iter(jobs.held)) == job_ids[-1]


async def test_a_job_that_is_over_is_held_until_its_end_was_seen(jobs: Jobs) -> None:
    async with posting(jobs) as lookouts:
        lookouts.add_interval(2.0)
        lookouts.on_roster(roster_of("a"))
        await wait_until(lambda: jobs.held)
        lookouts.on_roster(roster_of(over=("a",)))
        await asyncio.sleep(0)
        assert jobs.held
        jobs.end("a", "finished")
        await wait_until(lambda: not jobs.held)
        lookouts.on_roster(roster_of(over=("a",)))
        await asyncio.sleep(0)
        assert jobs.asked["a"] == 1
        lookouts.on_roster(roster_of("a"))
        await wait_until(lambda: jobs.held)


@pytest.mark.parametrize("end", ["fault", "deleted"])
async def test_a_watch_that_ends_otherwise_is_begun_again(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, end: SnapshotEnd
) -> None:
    monkeypatch.setattr(lookouts_module, "FIRST_FAILURE_DELAY_S", 0.001)
    async with posting(jobs) as lookouts:
        lookouts.add_interval(2.0)
        lookouts.on_roster(roster_of("a"))
        await wait_until(lambda: jobs.held)
        jobs.end("a", end)
        await wait_until(lambda: jobs.asked["a"] == 2 and jobs.held)


async def test_a_job_that_cannot_be_watched_harms_no_other_and_is_tried_again(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookouts_module, "FIRST_FAILURE_DELAY_S", 0.001)
    jobs.failing = {"bad"}
    async with posting(jobs) as lookouts:
        lookouts.add_interval(2.0)
        lookouts.on_roster(roster_of("a", "bad"))
        await wait_until(lambda: jobs.held.keys() == {"a"} and jobs.asked["bad"] > 1)
        jobs.failing = set()
        await wait_until(lambda: jobs.held.keys() == {"a", "bad"})


async def test_a_job_that_cannot_be_watched_is_given_up_when_it_is_over(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookouts_module, "FIRST_FAILURE_DELAY_S", 0.001)
    jobs.failing = {"bad"}
    async with posting(jobs) as lookouts:
        lookouts.add_interval(2.0)
        lookouts.on_roster(roster_of("bad"))
        await wait_until(lambda: jobs.asked["bad"] > 1)
        lookouts.on_roster(roster_of(over=("bad",)))
        await wait_until(lambda: not len(lookouts._job_tasks))


async def test_the_shortest_interval_of_all_counts_for_all(jobs: Jobs) -> None:
    async with posting(jobs) as lookouts:
        lookouts.add_interval(2.0)
        lookouts.on_roster(roster_of("a", "b"))
        await wait_until(lambda: len(jobs.held) == 2)
        lookouts.add_interval(0.5)
        assert jobs.intervals() == {0.5}
        lookouts.remove_interval(0.5)
        assert jobs.intervals() == {2.0}


async def test_one_who_fails_for_a_reason_of_its_own_is_told_of_once(
    jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(job_id: str, interval_s: float) -> tuple[JobSnapshot, JobSubscription]:
        jobs.asked[job_id] += 1
        raise RuntimeError(f"{job_id} at {interval_s}")

    lookouts = RosterJobWatchers(fail)
    lookouts.add_interval(2.0)
    for _ in range(3):
        lookouts.on_roster(roster_of("a"))
        await wait_until(lambda: not len(lookouts._job_tasks))
    await lookouts.close()
    assert jobs.asked["a"] == 1
    assert [record.getMessage() for record in caplog.records] == ["roster watcher failed job='a'"]


async def test_one_who_fails_takes_no_place_of_the_hundred_and_is_tried_anew_later(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookouts_module, "MAX_WATCHED_JOBS", 1)
    broken = {"new"}

    async def watch(job_id: str, interval_s: float) -> tuple[JobSnapshot, JobSubscription]:
        if job_id in broken:
            raise RuntimeError(job_id)
        return await jobs.subscribe_job(job_id, interval_s)

    lookouts = RosterJobWatchers(watch)
    lookouts.add_interval(2.0)
    lookouts.on_roster(roster_of("old", "new"))
    await wait_until(lambda: not len(lookouts._job_tasks))
    lookouts.on_roster(roster_of("old", "new"))
    await wait_until(lambda: jobs.held.keys() == {"old"})
    broken.clear()
    lookouts.on_roster(roster_of("old", over=("new",)))
    lookouts.on_roster(roster_of("old", "new"))
    await wait_until(lambda: jobs.held.keys() == {"new"})
    await lookouts.close()
