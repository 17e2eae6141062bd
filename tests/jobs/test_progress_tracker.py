"""Changes that happened before this server looked are not taken for seen."""

import asyncio
import time
from dataclasses import replace

import pytest

from marianne_stream.conductor_models import RateLimit
from marianne_stream.jobs.progress import ProgressTimes
from marianne_stream.jobs.progress_tracker import ProgressTracker, load_nothing
from marianne_stream.jobs.run_times import KnownRun
from marianne_stream.jobs.waiting import find_waiting
from marianne_stream.models import JobState, RunTimes, Sheet, format_iso_time


def make_state(submitted_at: float, status: str) -> JobState:
    return JobState(
        "a",
        "running",
        "conductor",
        live=True,
        checkpoint_status="running",
        sheets=(Sheet(1, status, attempt=1), Sheet(2, "pending")),
        submitted_at=format_iso_time(submitted_at),
        started_at=format_iso_time(submitted_at),
    )


async def test_end_before_the_server_started_is_unknown() -> None:
    tracker = ProgressTracker(ProgressTimes(), load_nothing)
    state = await tracker.update(make_state(time.time() - 5, "completed"))
    assert state.sheets[0].completed_at is None
    progress = tracker.refresh(state).progress
    assert progress is not None
    assert not progress.sees_changes


async def test_end_soon_after_the_submission_of_a_job_is_seen() -> None:
    progress = ProgressTimes()
    progress.began_at = time.time() - 60
    tracker = ProgressTracker(progress, load_nothing)
    before = round(time.time(), 3)
    state = await tracker.update(make_state(time.time() - 5, "completed"))
    ended_at = state.sheets[0].completed_at
    assert ended_at is not None
    assert ended_at >= before


async def test_job_without_time_of_submission_has_only_reported_times() -> None:
    tracker = ProgressTracker(ProgressTimes(), load_nothing)
    state = replace(make_state(time.time(), "completed"), submitted_at=None)
    for _ in range(2):
        sheet = (await tracker.update(state)).sheets[0]
        assert (sheet.started_at, sheet.completed_at) == (None, None)
        progress = tracker.refresh(state).progress
        assert progress is not None
        assert progress.times is None


async def test_end_of_a_job_that_was_first_read_after_it_is_unknown() -> None:
    tracker = ProgressTracker(ProgressTimes(), load_nothing)
    running = make_state(time.time() - 9000, "dispatched")
    cancelled = replace(running, status="cancelled")
    stopped = replace(
        cancelled,
        checkpoint_status="cancelled",
        sheets=(Sheet(1, "stopped", attempt=1), Sheet(2, "pending")),
    )
    for state in (cancelled, cancelled, stopped):
        read = await tracker.update(state)
        progress = tracker.refresh(read).progress
        assert progress is not None
        assert progress.times is not None
        assert progress.times.completed_at is None
        assert not progress.sees_changes
        assert read.sheets[0].completed_at is None


async def test_stopped_sheet_ends_when_its_job_was_seen_to_end() -> None:
    tracker = ProgressTracker(ProgressTimes(), load_nothing)
    running = make_state(time.time() - 9000, "dispatched")
    cancelled = replace(running, status="cancelled")
    for state in (running, cancelled):
        await tracker.update(state)
    progress = tracker.refresh(cancelled).progress
    assert progress is not None
    assert progress.times is not None
    ended_at = progress.times.completed_at
    assert ended_at is not None
    stopped = replace(cancelled, sheets=(Sheet(1, "stopped", attempt=1),))
    assert (await tracker.update(stopped)).sheets[0].completed_at == ended_at


async def test_unchanged_sheet_stays_the_same_object_until_the_job_is_resumed() -> None:
    tracker = ProgressTracker(ProgressTimes(), load_nothing)
    submitted_at = time.time() - 60
    first = await tracker.update(make_state(submitted_at, "dispatched"))
    changed = make_state(submitted_at, "dispatched")
    changed = replace(changed, sheets=(changed.sheets[0], Sheet(2, "dispatched", attempt=1)))
    second = await tracker.update(changed)
    assert second.sheets[0] is first.sheets[0]
    assert second.sheets[1].started_at is not None
    # The sheet is between two attempts, and the resume sets it back.
    waiting = replace(changed, sheets=(Sheet(1, "pending"), Sheet(2, "pending")))
    assert (await tracker.update(waiting)).sheets[1].started_at is not None
    resumed = replace(waiting, started_at=format_iso_time(time.time() + 60))
    assert (await tracker.update(resumed)).sheets[1].started_at is None


async def test_many_sheets_are_merged_in_pieces() -> None:
    tracker = ProgressTracker(ProgressTimes(), load_nothing)
    state = make_state(time.time(), "dispatched")
    state = replace(state, sheets=tuple(Sheet(number, "pending") for number in range(1, 3001)))
    update = asyncio.create_task(tracker.update(state))
    turns = 0
    while not update.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 2
    assert (await update).sheets == state.sheets


async def find_run(tracker: ProgressTracker, state: JobState) -> str:
    """Return the run that a state belongs to."""
    progress = tracker.refresh(await tracker.update(state)).progress
    assert progress is not None
    assert progress.times is not None
    return progress.times.run


async def test_run_goes_on_while_its_creation_is_reported_in_place_of_its_submission() -> None:
    tracker = ProgressTracker(ProgressTimes(), load_nothing)
    submitted_at = time.time() - 60
    run = await find_run(tracker, replace(make_state(submitted_at, "dispatched"), run="r"))
    completed = replace(make_state(submitted_at, "completed"), run="r")
    created_at = format_iso_time(submitted_at + 5)
    on_disk = replace(completed, submitted_at=None, created_at=created_at)
    for state in (on_disk, replace(on_disk, created_at=None), completed):
        assert await find_run(tracker, state) == run


async def test_run_is_unknown_until_its_records_can_be_read() -> None:
    submitted_at = time.time() - 60
    known = KnownRun(
        RunTimes("r", submitted_at, started_at=submitted_at),
        {1: Sheet(1, "dispatched", attempt=1, started_at=submitted_at + 1, observed=True)},
    )
    answers = [None, None, known]

    async def load(_state: JobState) -> KnownRun | None:
        return answers.pop(0)

    tracker = ProgressTracker(ProgressTimes(), load)
    for _ in range(2):
        state = tracker.refresh(await tracker.update(make_state(submitted_at, "dispatched")))
        assert state.progress is not None
        assert state.progress.times is None
        assert state.sheets[0].started_at is None
    state = await tracker.update(make_state(submitted_at, "completed"))
    assert state.sheets[0].started_at == submitted_at + 1
    # The end may have come while the records could not be read.
    assert state.sheets[0].completed_at is None
    assert await find_run(tracker, state) == "r"


@pytest.mark.parametrize(("before", "after"), [("r", "s"), ("", "")])
async def test_job_that_is_submitted_again_has_a_new_run(before: str, after: str) -> None:
    tracker = ProgressTracker(ProgressTimes(), load_nothing)
    first = replace(make_state(time.time() - 60, "dispatched"), run=before)
    again = replace(make_state(time.time(), "dispatched"), run=after)
    assert await find_run(tracker, first) != await find_run(tracker, again)


@pytest.mark.parametrize(
    ("instrument", "names", "is_known"),
    [
        ("cli", ["claude", "cli"], True),
        ("cli", ["claude"], False),
        (None, ["claude"], True),
        (None, ["claude", "cli"], False),
    ],
)
async def test_end_of_a_wait_is_that_of_the_rate_limit_of_its_instrument(
    instrument: str | None, names: list[str], *, is_known: bool
) -> None:
    progress, until = ProgressTimes(), time.time() + 60
    tracker = ProgressTracker(progress, load_nothing)
    state = make_state(time.time(), "waiting")
    state = replace(state, sheets=(replace(state.sheets[0], instrument_name=instrument),))
    # The limit that has ended is of the same instrument.
    over = [RateLimit(name, time.time() - 1) for name in ("cli", "claude")]
    assert progress.update_rate_limits((*over, *(RateLimit(name, until) for name in names)))
    waiting = find_waiting(tracker.refresh(state))
    assert waiting is not None
    assert waiting.until == (until if is_known else None)
    reported = replace(state, sheets=(replace(state.sheets[0], waiting_until=until + 1),))
    waiting = find_waiting(tracker.refresh(reported))
    assert waiting is not None
    assert waiting.until == until + 1
