"""Facts about jobs that only their watchers know."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import ClassVar

import pytest

from marianne_stream.jobs import roster_details as details_module
from marianne_stream.jobs.job_data import make_job_detail
from marianne_stream.jobs.progress import ProgressTimes
from marianne_stream.jobs.progress_tracker import ProgressTracker, load_nothing
from marianne_stream.jobs.read_limiter import StateReadLimiter
from marianne_stream.jobs.roster_details import RosterDetailCache
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.snapshots import JobSnapshot, RosterSnapshot, SnapshotEnd
from marianne_stream.jobs.waiting import find_waiting_status
from marianne_stream.jobs.watcher import JobWatcher
from marianne_stream.models import (
    JobProgress,
    JobState,
    Roster,
    RosterDetails,
    RosterEntry,
    Sheet,
    format_iso_time,
)
from marianne_stream.schemas.job_schemas import JobSummary
from tests.support.backends import FakeBackend
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
def notifications() -> list[None]:
    """Collect one item for each notification."""
    return []


@pytest.fixture
async def details(notifications: list[None]) -> AsyncIterator[RosterDetailCache]:
    """Yield a cache that records its notifications."""
    details = RosterDetailCache(ProgressTimes(), lambda: notifications.append(None))
    yield details
    details.close()


def make_watcher(state: JobState) -> JobWatcher:
    """Return a watcher that shows a state and does not run."""
    backend = FakeBackend()
    roster = RosterPoller(backend, on_roster=lambda _: None)
    watcher = JobWatcher(
        state.job_id,
        backend=backend,
        roster_poller=roster,
        read_limiter=StateReadLimiter(),
        tracker=ProgressTracker(ProgressTimes(), load_nothing),
    )
    show(watcher, state)
    return watcher


def show(watcher: JobWatcher, state: JobState, end: SnapshotEnd = "") -> None:
    watcher.snapshot = JobSnapshot(state, source="conductor", live=True, end=end)
    watcher.topic.publish(watcher.snapshot)


def make_roster(*entries: RosterEntry) -> Roster:
    return Roster({entry.job_id: entry for entry in entries}, source="conductor", live=True)


async def test_details_of_watcher_known_until_detached(
    details: RosterDetailCache,
) -> None:
    watcher = make_watcher(STATE)
    assert details.get(ENTRY) is None
    details.attach(watcher)
    assert details.get(ENTRY) == KNOWN
    assert details.get_all(make_roster(ENTRY, RosterEntry("b", "running"))) == {"a": KNOWN}
    assert details.get_all(make_roster()) == {}
    details.detach(watcher)
    assert details.get(ENTRY) is None


async def test_details_of_other_submission_omitted(details: RosterDetailCache) -> None:
    details.attach(make_watcher(STATE))
    assert details.get(replace(ENTRY, submitted_at=2000.0)) is None
    assert details.get(replace(ENTRY, submitted_at=1000.0004)) == KNOWN


async def test_details_without_submission_matched_by_creation(
    details: RosterDetailCache,
) -> None:
    details.attach(
        make_watcher(replace(STATE, submitted_at=None, created_at=format_iso_time(1000.0)))
    )
    assert details.get(ENTRY) == KNOWN


async def test_details_of_finished_job_kept_until_restart(
    details: RosterDetailCache,
) -> None:
    over = replace(ENTRY, status="cancelled")
    watcher = make_watcher(STATE)
    details.attach(watcher)
    assert details.get(over) == RosterDetails(None, KNOWN.updated_at)
    ended = replace(STATE, status="cancelled", updated_at="2026-11-23T19:25:00Z")
    show(watcher, ended, end="finished")
    details.detach(watcher)
    assert details.get(over) == RosterDetails(None, "2026-11-23T19:25:00Z")
    assert details.get(ENTRY) is None
    details.on_roster(make_roster())
    assert details.get(over) is None


async def test_changes_within_debounce_reported_once(
    details: RosterDetailCache, notifications: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(details_module, "DEBOUNCE_S", 0.0)
    watches = [make_watcher(replace(STATE, job_id=f"{number}")) for number in range(50)]
    for watcher in watches:
        details.attach(watcher)
        show(watcher, replace(STATE, job_id=watcher.job_id, current_sheet=3))
    assert notifications == []
    await wait_until(lambda: notifications)
    assert len(notifications) == 1
    show(watches[0], STATE)
    await wait_until(lambda: len(notifications) == 2)


async def test_changes_after_close_not_reported(
    details: RosterDetailCache, notifications: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(details_module, "DEBOUNCE_S", 0.0)
    watcher = make_watcher(STATE)
    details.attach(watcher)
    details.close()
    details.detach(watcher)
    for _ in range(3):
        await asyncio.sleep(0)
    assert notifications == []


def test_changed_time_alone_sent_with_next_change() -> None:
    other = RosterEntry("b", "running", 1.0)
    roster = make_roster(ENTRY, other)
    first = RosterSnapshot(roster, {"a": KNOWN})
    later = RosterSnapshot(roster, {"a": replace(KNOWN, updated_at="2026-11-23T19:25:00Z")}, first)
    assert later.is_same(first)
    assert later.diff_from(first).data == b""
    paused = make_roster(ENTRY, replace(other, status="paused"))
    details = {"a": replace(KNOWN, updated_at="2026-11-23T19:25:00Z")}
    changed = RosterSnapshot(paused, details, later)
    assert b"19:25:00" not in changed.diff_from(later).data
    assert b"19:25:00" in changed.diff_from(first).data
    assert b'"paused"' in changed.diff_from(first).data
    sheet = RosterSnapshot(roster, {"a": replace(KNOWN, current_sheet=3)}, first)
    assert not sheet.is_same(first)
    assert b'"current_sheet":3' in sheet.diff_from(first).data


async def test_active_sheets_with_other_count_omitted(
    details: RosterDetailCache,
) -> None:
    sheets = (Sheet(1, "completed"), Sheet(2, "dispatched"), Sheet(3, "in_progress"))
    state = replace(STATE, sheets=sheets, completed_sheets=1, total_sheets=4)
    details.attach(make_watcher(state))
    same = replace(ENTRY, completed_sheets=1, total_sheets=4)
    shown = replace(KNOWN, active_sheets=2)
    assert details.get(same) == shown
    data = JobSummary.from_entry(same, shown).model_dump()
    assert (data["current_sheet"], data["active_sheets"]) == (2, 2)
    other = replace(KNOWN, current_sheet=None)
    assert details.get(replace(same, completed_sheets=2)) == other
    assert "active_sheets" not in JobSummary.from_entry(same, other).model_dump()


class CountedSheets(tuple[Sheet, ...]):
    """Sheets that count how often any of them are read."""

    __slots__ = ()
    reads: ClassVar[int] = 0

    def __iter__(self) -> Iterator[Sheet]:
        CountedSheets.reads += 1
        return super().__iter__()


async def test_sheets_of_an_unchanged_state_are_not_read_again(details: RosterDetailCache) -> None:
    sheets = CountedSheets((Sheet(1, "dispatched"), Sheet(2, "waiting")))
    details.attach(make_watcher(replace(STATE, sheets=sheets)))
    first = details.get(ENTRY)
    reads = CountedSheets.reads
    assert details.get(ENTRY) == first == replace(KNOWN, active_sheets=1)
    assert CountedSheets.reads == reads > 0


@pytest.mark.parametrize("status", ["completed", "paused"])
async def test_forecast_of_an_older_state_omitted(details: RosterDetailCache, status: str) -> None:
    progress = JobProgress(eta_at=2000.0, stalled=(1,))
    sheets = (Sheet(1, "waiting", waiting_until=1500.0),)
    details.attach(make_watcher(replace(STATE, progress=progress, sheets=sheets)))
    running = details.get(ENTRY)
    assert running is not None
    assert running.waiting is not None
    assert (running.waiting.code, running.stalled) == ("rate_limited", (1,))
    assert running.eta_at == format_iso_time(2000.0)
    changed = details.get(replace(ENTRY, status=status))
    assert changed is not None
    assert (changed.eta_at, changed.stalled) == (None, ())
    assert changed.waiting == find_waiting_status(status)


async def test_last_progress_on_an_edge_is_what_its_origin_has_seen() -> None:
    times = ProgressTimes()
    times.record("a")
    details = RosterDetailCache(times, lambda: None)
    progress = JobProgress(last_progress_at=1234.0)
    details.attach(make_watcher(replace(STATE, source="redis", progress=progress)))
    found = details.get(ENTRY)
    assert found is not None
    assert found.last_progress_at == format_iso_time(1234.0)
    details.close()


def test_job_that_runs_again_has_no_end() -> None:
    state = replace(STATE, completed_at=format_iso_time(900.0))
    assert make_job_detail(state, with_paths=False).completed_at is None
    ended = replace(state, status="completed")
    assert make_job_detail(ended, with_paths=False).completed_at == format_iso_time(900.0)


async def test_last_progress_of_unwatched_job_reported() -> None:
    progress = ProgressTimes()
    details = RosterDetailCache(progress, lambda: None)
    assert details.get(ENTRY) is None
    progress.record("a")
    found = details.get(ENTRY)
    assert found == RosterDetails(last_progress_at=format_iso_time(progress.get("a")))
    progress.retain(())
    assert details.get(ENTRY) is None
