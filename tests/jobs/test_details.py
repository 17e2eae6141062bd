"""What is known of jobs beyond their entries: of the same run, told together, and no longer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from marianne_stream.jobs import details as details_module
from marianne_stream.jobs.details import Details
from marianne_stream.jobs.progress import ProgressTimes
from marianne_stream.jobs.roster import RosterTimer
from marianne_stream.jobs.turns import Turns
from marianne_stream.jobs.views import End, JobView, RosterView
from marianne_stream.jobs.watch import JobWatch
from marianne_stream.models import JobState, Roster, RosterDetails, RosterEntry, iso_time
from tests.jobs.test_roster import Source
from tests.support.waiting import until

ENTRY = RosterEntry("a", "running", 1000.0, 1001.0)
STATE = JobState(
    job_id="a",
    status="running",
    source="conductor",
    live=True,
    checkpoint_status="running",
    submitted_at=iso_time(1000.0),
    current_sheet=2,
    updated_at="2026-11-23T19:24:13Z",
)
KNOWN = RosterDetails(2, "2026-11-23T19:24:13Z")


@pytest.fixture
def told() -> list[None]:
    """One for each time that a change was told."""
    return []


@pytest.fixture
async def details(told: list[None]) -> AsyncIterator[Details]:
    """What is under test."""
    details = Details(ProgressTimes(), lambda: told.append(None))
    yield details
    details.close()


def watch_of(state: JobState) -> JobWatch:
    """A watch of a job that shows a state, and does not look."""
    source = Source()
    roster = RosterTimer(source, on_roster=lambda _: None)
    watch = JobWatch(
        state.job_id, source=source, roster=roster, turns=Turns(), progress=ProgressTimes()
    )
    show(watch, state)
    return watch


def show(watch: JobWatch, state: JobState, end: End = "") -> None:
    watch.view = JobView(state, source="conductor", live=True, end=end)
    watch.topic.publish(watch.view)


def roster_of(*entries: RosterEntry) -> Roster:
    return Roster({entry.job_id: entry for entry in entries}, source="conductor", live=True)


async def test_what_a_watch_shows_is_known_until_it_is_forgotten(details: Details) -> None:
    watch = watch_of(STATE)
    assert details.of(ENTRY) is None
    details.follow(watch)
    assert details.of(ENTRY) == KNOWN
    assert details.of_all(roster_of(ENTRY, RosterEntry("b", "running"))) == {"a": KNOWN}
    assert details.of_all(roster_of()) == {}
    details.forget(watch)
    assert details.of(ENTRY) is None


async def test_what_is_known_of_another_submission_is_not_told(details: Details) -> None:
    details.follow(watch_of(STATE))
    assert details.of(replace(ENTRY, submitted_at=2000.0)) is None
    assert details.of(replace(ENTRY, submitted_at=1000.0004)) == KNOWN


async def test_where_no_submission_is_told_the_creation_stands_for_it(details: Details) -> None:
    details.follow(watch_of(replace(STATE, submitted_at=None, created_at=iso_time(1000.0))))
    assert details.of(ENTRY) == KNOWN


async def test_a_job_that_is_over_keeps_its_last_change_until_it_runs_again(
    details: Details,
) -> None:
    over = replace(ENTRY, status="cancelled")
    watch = watch_of(STATE)
    details.follow(watch)
    assert details.of(over) == RosterDetails(None, KNOWN.updated_at)
    ended = replace(STATE, status="cancelled", updated_at="2026-11-23T19:25:00Z")
    show(watch, ended, end="finished")
    details.forget(watch)
    assert details.of(over) == RosterDetails(None, "2026-11-23T19:25:00Z")
    assert details.of(ENTRY) is None
    details.on_roster(roster_of())
    assert details.of(over) is None


async def test_changes_that_come_together_are_told_together(
    details: Details, told: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(details_module, "GATHERED_S", 0.0)
    watches = [watch_of(replace(STATE, job_id=f"{number}")) for number in range(50)]
    for watch in watches:
        details.follow(watch)
        show(watch, replace(STATE, job_id=watch.job_id, current_sheet=3))
    assert told == []
    await until(lambda: told)
    assert len(told) == 1
    show(watches[0], STATE)
    await until(lambda: len(told) == 2)


async def test_nothing_is_told_once_it_is_closed(
    details: Details, told: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(details_module, "GATHERED_S", 0.0)
    watch = watch_of(STATE)
    details.follow(watch)
    details.close()
    details.forget(watch)
    for _ in range(3):
        await asyncio.sleep(0)
    assert told == []


def test_a_new_time_alone_is_no_change_of_the_roster_and_is_told_with_the_next() -> None:
    other = RosterEntry("b", "running", 1.0)
    roster = roster_of(ENTRY, other)
    first = RosterView(roster, {"a": KNOWN})
    later = RosterView(roster, {"a": replace(KNOWN, updated_at="2026-11-23T19:25:00Z")}, first)
    assert later.same(first)
    assert later.since(first).data == b""
    paused = roster_of(ENTRY, replace(other, status="paused"))
    details = {"a": replace(KNOWN, updated_at="2026-11-23T19:25:00Z")}
    changed = RosterView(paused, details, later)
    assert b"19:25:00" not in changed.since(later).data
    assert b"19:25:00" in changed.since(first).data
    assert b'"paused"' in changed.since(first).data
    sheet = RosterView(roster, {"a": replace(KNOWN, current_sheet=3)}, first)
    assert not sheet.same(first)
    assert b'"current_sheet":3' in sheet.since(first).data


async def test_the_current_sheet_is_not_told_beside_a_count_of_another_moment(
    details: Details,
) -> None:
    details.follow(watch_of(replace(STATE, completed_sheets=1, total_sheets=4)))
    same = replace(ENTRY, completed_sheets=1, total_sheets=4)
    assert details.of(same) == KNOWN
    assert details.of(replace(same, completed_sheets=2)) == replace(KNOWN, current_sheet=None)


async def test_the_time_of_the_last_progress_is_told_of_jobs_that_nobody_watches() -> None:
    progress = ProgressTimes()
    details = Details(progress, lambda: None)
    assert details.of(ENTRY) is None
    progress.note("a")
    found = details.of(ENTRY)
    assert found == RosterDetails(last_progress_at=progress.of("a"))
    progress.keep(())
    assert details.of(ENTRY) is None
