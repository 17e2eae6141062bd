"""Times of sheets, as they are reported, seen or unknown."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from marianne_stream.jobs.read_times import ReadTime
from marianne_stream.jobs.sheet_times import make_sheet_merge
from marianne_stream.models import JobState, Sheet, format_iso_time

STARTED_AT = 1_000_000.0


def make_state(*sheets: Sheet, started_at: float = STARTED_AT) -> JobState:
    return JobState(
        "a",
        "running",
        "conductor",
        live=True,
        checkpoint_status="running",
        sheets=sheets,
        started_at=format_iso_time(started_at),
    )


def with_sheet_times(
    state: JobState, known: Mapping[int, Sheet], read: ReadTime, job_ended_at: float | None = None
) -> JobState:
    """Return a state whose sheets are merged with what is known."""
    merge = make_sheet_merge(state, known, read, job_ended_at)
    return replace(state, sheets=tuple(map(merge, state.sheets)))


def play(*steps: tuple[float, Sheet], known: Sheet | None = None, seen: bool = True) -> Sheet:
    """Show the states of one sheet at times after the job's start, and return the last."""
    shown = {} if known is None else {1: known}
    for index, (after_s, sheet) in enumerate(steps):
        read = ReadTime(STARTED_AT + after_s, seen or index > 0)
        shown = {1: with_sheet_times(make_state(sheet), shown, read).sheets[0]}
    return shown[1]


def test_span_from_dispatch_to_end_as_seen() -> None:
    sheet = play(
        (0.5, Sheet(1, "pending")),
        (5, Sheet(1, "dispatched", attempt=1)),
        (6, Sheet(1, "in_progress", attempt=1)),
        (9, Sheet(1, "completed", attempt=1, work_s=3)),
    )
    assert (sheet.started_at, sheet.completed_at) == (STARTED_AT + 5, STARTED_AT + 9)
    assert sheet.observed
    assert not sheet.estimated


def test_first_sheet_began_with_the_job() -> None:
    assert play((0.8, Sheet(1, "dispatched", attempt=1))).started_at == STARTED_AT


def test_sheet_ends_no_later_than_its_job() -> None:
    state = replace(make_state(Sheet(1, "failed", attempt=1)), status="failed")
    known = {1: Sheet(1, "dispatched", attempt=1, started_at=STARTED_AT)}
    read = ReadTime(STARTED_AT + 8, sees_changes=True)
    sheet = with_sheet_times(state, known, read, STARTED_AT + 7).sheets[0]
    assert sheet.completed_at == STARTED_AT + 7


@pytest.mark.parametrize("job_ended_at", [STARTED_AT + 7, None])
def test_sheet_marked_as_stopped_after_the_end_of_its_job_ends_with_the_job(
    job_ended_at: float | None,
) -> None:
    state = replace(make_state(Sheet(1, "stopped", attempt=1)), status="cancelled")
    known = {1: Sheet(1, "dispatched", attempt=1, started_at=STARTED_AT, observed=True)}
    read = ReadTime(STARTED_AT + 17, sees_changes=True, had_ended=True)
    sheet = with_sheet_times(state, known, read, job_ended_at).sheets[0]
    assert (sheet.started_at, sheet.completed_at) == (STARTED_AT, job_ended_at)


def test_waits_belong_to_the_span() -> None:
    sheet = play(
        (0, Sheet(1, "pending")),
        (5, Sheet(1, "dispatched", attempt=1)),
        (7, Sheet(1, "retry_scheduled", attempt=1)),
        (17, Sheet(1, "dispatched", attempt=2)),
        (20, Sheet(1, "completed", attempt=2, work_s=5)),
    )
    assert (sheet.started_at, sheet.completed_at) == (STARTED_AT + 5, STARTED_AT + 20)


def test_sheet_executed_again_has_a_new_span() -> None:
    sheet = play(
        (0, Sheet(1, "pending")),
        (5, Sheet(1, "dispatched", attempt=1)),
        (7, Sheet(1, "failed", attempt=1)),
        (100, Sheet(1, "dispatched", attempt=2)),
    )
    assert (sheet.started_at, sheet.completed_at) == (STARTED_AT + 100, None)


def test_reported_times_win() -> None:
    reported = Sheet(
        1, "completed", attempt=1, started_at=STARTED_AT + 2, completed_at=STARTED_AT + 4
    )
    sheet = play((0, Sheet(1, "pending")), (5, reported))
    assert (sheet.started_at, sheet.completed_at) == (STARTED_AT + 2, STARTED_AT + 4)
    assert not sheet.observed


def test_end_written_by_a_resume_is_ignored() -> None:
    ended = Sheet(1, "completed", attempt=1)
    rewritten = replace(ended, completed_at=STARTED_AT + 0.4)
    known = replace(ended, started_at=STARTED_AT - 50, completed_at=STARTED_AT - 40, observed=True)
    sheet = play((1, rewritten), known=known)
    assert (sheet.started_at, sheet.completed_at) == (STARTED_AT - 50, STARTED_AT - 40)
    assert play((1, rewritten), known=Sheet(1, "dispatched"), seen=False).completed_at is None


def test_sheet_first_seen_completed_has_an_estimated_start() -> None:
    sheet = play((0, Sheet(1, "pending")), (9, Sheet(1, "completed", attempt=1, work_s=3)))
    assert (sheet.started_at, sheet.completed_at) == (STARTED_AT + 6, STARTED_AT + 9)
    assert sheet.estimated


def test_start_before_a_wait_is_not_estimated() -> None:
    retried = Sheet(1, "failed", attempt=3, work_s=6)
    sheet = play((40, retried), known=Sheet(1, "dispatched", attempt=3))
    assert (sheet.started_at, sheet.completed_at) == (None, STARTED_AT + 40)
    assert not sheet.estimated
    limited = Sheet(1, "completed", attempt=1, work_s=4)
    sheet = play((70, limited), known=Sheet(1, "waiting", attempt=1))
    assert (sheet.started_at, sheet.estimated) == (None, False)
    # The conductor has counted an attempt before the one that is known.
    sheet = play((70, limited), known=Sheet(1, "dispatched", attempt=1, work_s=2))
    assert (sheet.started_at, sheet.estimated) == (None, False)


def test_times_that_nobody_saw_are_unknown() -> None:
    dispatched = Sheet(1, "dispatched", attempt=1)
    assert play((500, dispatched), seen=False).started_at is None
    completed = Sheet(1, "completed", attempt=1, work_s=3)
    sheet = play((500, completed), known=replace(dispatched, started_at=STARTED_AT), seen=False)
    assert (sheet.started_at, sheet.completed_at) == (STARTED_AT, None)
    sheet = play((500, completed), seen=False)
    assert (sheet.started_at, sheet.completed_at, sheet.estimated) == (None, None, False)


@pytest.mark.parametrize("between", ["pending", "ready"])
def test_span_goes_on_while_the_conductor_sets_a_sheet_back_between_attempts(between: str) -> None:
    steps = [
        (0.0, Sheet(1, "pending")),
        (2.0, Sheet(1, "dispatched", attempt=1)),
        (4.0, Sheet(1, "waiting", attempt=1)),
        (61.0, Sheet(1, between)),
    ]
    assert play(*steps).started_at == STARTED_AT + 2
    sheet = play(
        *steps,
        (62, Sheet(1, "dispatched", attempt=1)),
        (66, Sheet(1, "completed", attempt=1, work_s=4)),
    )
    assert (sheet.started_at, sheet.completed_at) == (STARTED_AT + 2, STARTED_AT + 66)
    assert (sheet.observed, sheet.estimated) == (True, False)


def test_sheet_set_back_by_a_resume_has_a_new_span() -> None:
    known = {1: Sheet(1, "dispatched", attempt=1, started_at=STARTED_AT, observed=True)}
    for after_s, status, started_at in ((50.5, "pending", None), (52, "dispatched", 52)):
        state = make_state(Sheet(1, status), started_at=STARTED_AT + 50)
        read = ReadTime(STARTED_AT + after_s, sees_changes=True)
        known = {1: with_sheet_times(state, known, read).sheets[0]}
        expected = None if started_at is None else STARTED_AT + started_at
        assert known[1].started_at == expected


def test_completed_sheet_whose_attempts_are_counted_anew_keeps_its_span() -> None:
    known = Sheet(1, "completed", attempt=2, started_at=STARTED_AT, completed_at=STARTED_AT + 9)
    sheet = play((50, Sheet(1, "completed", attempt=1, work_s=3)), known=known)
    assert (sheet.started_at, sheet.completed_at) == (STARTED_AT, STARTED_AT + 9)


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_sheet_with_more_attempts_was_executed_again(status: str) -> None:
    known = Sheet(1, status, attempt=1, started_at=STARTED_AT, completed_at=STARTED_AT + 9)
    assert play((50, Sheet(1, status, attempt=2)), known=known).completed_at == STARTED_AT + 50


def test_clock_that_is_set_back_gives_no_end_before_the_start() -> None:
    known = Sheet(1, "dispatched", attempt=1, started_at=STARTED_AT + 100, observed=True)
    ended = Sheet(1, "completed", attempt=1)
    sheet = play((70, ended), known=known)
    assert (sheet.started_at, sheet.completed_at) == (STARTED_AT + 100, None)
    # A difference between two clocks is none.
    assert play((99.9, ended), known=known).completed_at == STARTED_AT + 100


def test_skipped_and_pending_sheets_have_no_span() -> None:
    for status in ("pending", "ready", "skipped"):
        sheet = play((0, Sheet(1, "pending")), (5, Sheet(1, status)))
        assert (sheet.started_at, sheet.completed_at) == (None, None)


def test_later_attempt_first_seen_has_no_start() -> None:
    sheet = play((500, Sheet(1, "dispatched", attempt=3)), seen=False)
    sheet = play((502, Sheet(1, "in_progress", attempt=3)), known=sheet)
    assert sheet.started_at is None
