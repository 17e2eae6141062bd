"""What is known of jobs beyond their entries: of the same run, told together, and no longer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from marianne_stream.jobs import roster_details as details_module
from marianne_stream.jobs.progress import ProgressTimes
from marianne_stream.jobs.read_limiter import StateReadLimiter
from marianne_stream.jobs.roster_details import RosterDetailCache
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.snapshots import JobSnapshot, RosterSnapshot, SnapshotEnd
from marianne_stream.jobs.watcher import JobWatcher
from marianne_stream.models import JobState, Roster, RosterDetails, RosterEntry, format_iso_time
from tests.support.backends import Source
from tests.support.waiting import wait_until

ENTRY = RosterEntry("a", "running", 1000.0, 1001.0)
STATE = JobState(
    job_id="a",
    status="running",
    source="conductor",
    live=True,
    checkpoint_status="running",
    submitted_at=format_iso_time(1000.0),
    current_sheet=2,
    updated_at="2026-11-23T19:24:13Z",
)
KNOWN = RosterDetails(2, "2026-11-23T19:24:13Z")


@pytest.fixture
def told() -> list[None]:
    """One for each time that a change was told."""
    return []


@pytest.fixture
async def details(told: list[None]) -> AsyncIterator[RosterDetailCache]:
    """What is under test."""
    details = RosterDetailCache(ProgressTimes(), lambda: told.append(None))
    yield details
    details.close()


def watch_of(state: JobState) -> JobWatcher:
    """A watch of a job that shows a state, and does not look."""
    source = Source()
    roster = RosterPoller(source, on_roster=lambda _: None)
    watch = JobWatcher(
        state.job_id,
        backend=source,
        roster_poller=roster,
        read_limiter=StateReadLimiter(),
        progress=ProgressTimes(),
    )
    show(watch, state)
    return watch


def show(watch: JobWatcher, state: JobState, end: SnapshotEnd = "") -> None:
    watch.snapshot = JobSnapshot(state, source="conductor", live=True, end=end)
    watch.topic.publish(watch.snapshot)


def roster_of(*entries: RosterEntry) -> Roster:
    return Roster({entry.job_id: entry for entry in entries}, source="conductor", live=True)


async def test_what_a_watch_shows_is_known_until_it_is_forgotten(
    details: RosterDetailCache,
) -> None:
    watch = watch_of(STATE)
    assert details.get(ENTRY) is None
    details.attach(watch)
    assert details.get(ENTRY) == KNOWN
    assert details.get_all(roster_of(ENTRY, RosterEntry("b", "running"))) == {"a": KNOWN}
    assert details.get_all(roster_of()) == {}
    details.detach(watch)
    assert details.get(ENTRY) is None


async def test_what_is_known_of_another_submission_is_not_told(details: RosterDetailCache) -> None:
    details.attach(watch_of(STATE))
    assert details.get(replace(ENTRY, submitted_at=2000.0)) is None
    assert details.get(replace(ENTRY, submitted_at=1000.0004)) == KNOWN


async def test_where_no_submission_is_told_the_creation_stands_for_it(
    details: RosterDetailCache,
) -> None:
    details.attach(watch_of(replace(STATE, submitted_at=None, created_at=format_iso_time(1000.0))))
    assert details.get(ENTRY) == KNOWN


async def test_a_job_that_is_over_keeps_its_last_change_until_it_runs_again(
    details: RosterDetailCache,
) -> None:
    over = replace(ENTRY, status="cancelled")
    watch = watch_of(STATE)
    details.attach(watch)
    assert details.get(over) == RosterDetails(None, KNOWN.updated_at)
    ended = replace(STATE, status="cancelled", updated_at="2026-11-23T19:25:00Z")
    show(watch, ended, end="finished")
    details.detach(watch)
    assert details.get(over) == RosterDetails(None, "2026-11-23T19:25:00Z")
    assert details.get(ENTRY) is None
    details.on_roster(roster_of())
    assert details.get(over) is None


async def test_changes_that_come_together_are_told_together(
    details: RosterDetailCache, told: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(details_module, "DEBOUNCE_S", 0.0)
    watches = [watch_of(replace(STATE, job_id=f"{number}")) for number in range(50)]
    for watch in watches:
        details.attach(watch)
        show(watch, replace(STATE, job_id=watch.job_id, current_sheet=3))
    assert told == []
    await wait_until(lambda: told)
    assert len(told) == 1
    show(watches[0], STATE)
    await wait_until(lambda: len(told) == 2)


async def test_nothing_is_told_once_it_is_closed(
    details: RosterDetailCache, told: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(details_module, "DEBOUNCE_S", 0.0)
    watch = watch_of(STATE)
    details.attach(watch)
    details.close()
    details.detach(watch)
    for _ in range(3):
        await asyncio.sleep(0)
    assert told == []


def test_a_new_time_alone_is_no_change_of_the_roster_and_is_told_with_the_next() -> None:
    other = RosterEntry("b", "running", 1.0)
    roster = roster_of(ENTRY, other)
    first = RosterSnapshot(roster, {"a": KNOWN})
    later = RosterSnapshot(roster, {"a": replace(KNOWN, updated_at="2026-11-23T19:25:00Z")}, first)
    assert later.is_same(first)
    assert later.diff_from(first).data == b""
    paused = roster_of(ENTRY, replace(other, status="paused"))
    details = {"a": replace(KNOWN, updated_at="2026-11-23T19:25:00Z")}
    changed = RosterSnapshot(paused, details, later)
    assert b"19:25:00" not in changed.diff_from(later).data
    assert b"19:25:00" in changed.diff_from(first).data
    assert b'"paused"' in changed.diff_from(first).data
    sheet = RosterSnapshot(roster, {"a": replace(KNOWN, current_sheet=3)}, first)
    assert not sheet.is_same(first)
    assert b'"current_sheet":3' in sheet.diff_from(first).data


async def test_the_current_sheet_is_not_told_beside_a_count_of_another_moment(
    details: RosterDetailCache,
) -> None:
    details.attach(watch_of(replace(STATE, completed_sheets=1, total_sheets=4)))
    same = replace(ENTRY, completed_sheets=1, total_sheets=4)
    assert details.get(same) == KNOWN
    assert details.get(replace(same, completed_sheets=2)) == replace(KNOWN, current_sheet=None)


async def test_the_time_of_the_last_progress_is_told_of_jobs_that_nobody_watches() -> None:
    progress = ProgressTimes()
    details = RosterDetailCache(progress, lambda: None)
    assert details.get(ENTRY) is None
    progress.record("a")
    found = details.get(ENTRY)
    assert found == RosterDetails(last_progress_at=progress.get("a"))
    progress.retain(())
    assert details.get(ENTRY) is None
