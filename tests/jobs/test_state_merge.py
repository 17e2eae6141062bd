"""Rules that merge states from the roster, the checkpoint and earlier answers."""

from dataclasses import replace

import pytest

from marianne_stream.jobs.state_merge import (
    CONFLICT_TIMEOUT_S,
    carry_over_fields,
    has_unseen_change,
    keep_newer,
    merge_fresh_entry,
    resolve_conflict,
)
from marianne_stream.models import JobState, Roster, RosterEntry, Sheet

ENTRY = RosterEntry("a", "running", 10.0, 11.0, 1, 2)
STATE = JobState(
    job_id="a",
    status="running",
    source="conductor",
    live=True,
    checkpoint_status="running",
    sheets=(Sheet(1, "completed"), Sheet(2, "dispatched")),
    total_sheets=2,
    completed_sheets=1,
    submitted_at="1970-01-01T00:00:10.000Z",
    updated_at="1970-01-01T00:00:30Z",
    run="first",
)
FROM_DISK = replace(STATE, source="registry", live=False)
ENDED = replace(STATE, status="completed", checkpoint_status="completed", completed_at="first end")


def test_state_without_earlier_state_unchanged() -> None:
    assert keep_newer(STATE, None) is STATE


def test_older_state_from_disk_keeps_shown_state_with_new_status() -> None:
    older = replace(
        FROM_DISK, status="paused", updated_at="1970-01-01T00:00:20Z", completed_sheets=0
    )
    kept = keep_newer(older, STATE)
    assert kept == replace(STATE, status="paused", source="registry", live=False)


@pytest.mark.parametrize(
    "state",
    [
        replace(FROM_DISK, updated_at="1970-01-01T00:00:30Z"),
        replace(FROM_DISK, updated_at="1970-01-01T00:00:20Z", run="second"),
        replace(STATE, updated_at="1970-01-01T00:00:20Z"),
    ],
)
def test_state_as_new_or_of_other_run_or_live_replaces_shown_state(state: JobState) -> None:
    assert keep_newer(state, STATE) is state


def test_state_without_checkpoint_keeps_sheets_of_same_submission_only() -> None:
    bare = replace(STATE, sheets=(), completed_sheets=0, run="10.0")
    assert keep_newer(bare, STATE) == STATE
    resubmitted = replace(bare, submitted_at="1970-01-01T00:00:40.000Z")
    assert keep_newer(resubmitted, STATE) is resubmitted


def test_rewritten_end_keeps_first_end_of_run() -> None:
    rewritten = replace(ENDED, completed_at="second end")
    assert keep_newer(rewritten, ENDED) == ENDED
    rerun = replace(rewritten, run="second")
    assert keep_newer(rerun, ENDED) is rerun


def test_conflict_about_end_trusts_roster_after_timeout() -> None:
    conflict = replace(STATE, status="cancelled")
    state, since = resolve_conflict(conflict, None, 100.0)
    assert (state, since) == (conflict, 100.0)
    state, since = resolve_conflict(conflict, since, 100.0 + CONFLICT_TIMEOUT_S - 1)
    assert (state, since) == (conflict, 100.0)
    state, since = resolve_conflict(conflict, since, 100.0 + CONFLICT_TIMEOUT_S)
    assert state.checkpoint_status == "cancelled"
    assert state.is_final


@pytest.mark.parametrize("state", [STATE, ENDED, replace(STATE, checkpoint_status="paused")])
def test_conflict_resolved_or_not_about_end_forgets_its_beginning(state: JobState) -> None:
    assert resolve_conflict(state, 1.0, 1000.0) == (state, None)


@pytest.mark.parametrize(
    ("entry", "is_change"),
    [
        (ENTRY, False),
        (replace(ENTRY, completed_sheets=None), False),
        (replace(ENTRY, completed_sheets=2), True),
        (replace(ENTRY, status="paused"), True),
        (replace(ENTRY, started_at=20.0), True),
        (replace(ENTRY, error_message="not shown of a running job"), False),
        (None, True),
    ],
)
def test_entry_with_status_count_or_run_not_shown_is_change(
    entry: RosterEntry | None, *, is_change: bool
) -> None:
    assert has_unseen_change(entry, ENTRY, STATE) is is_change


def test_entry_with_error_of_ended_job_is_change_until_shown() -> None:
    entry = replace(ENTRY, status="completed", error_message="broken")
    assert has_unseen_change(entry, entry, ENDED)
    assert not has_unseen_change(entry, entry, replace(ENDED, error_message="broken"))


def test_entry_before_first_read_is_change_if_it_appears() -> None:
    assert has_unseen_change(ENTRY, None, STATE)
    assert not has_unseen_change(None, None, STATE)
    assert not has_unseen_change(ENTRY, ENTRY, None)


def roster(*entries: RosterEntry) -> Roster:
    return Roster({entry.job_id: entry for entry in entries}, source="conductor", live=True)


def test_fresh_entry_gives_its_status() -> None:
    entry = replace(ENTRY, status="completed")
    assert merge_fresh_entry(STATE, roster(entry), ENTRY) == (
        replace(STATE, status="completed"),
        entry,
    )


def test_fresh_entry_of_new_submission_requires_another_read() -> None:
    assert merge_fresh_entry(STATE, roster(replace(ENTRY, submitted_at=40.0)), ENTRY) is None
    assert merge_fresh_entry(STATE, roster(ENTRY), None) is None


def test_fresh_roster_without_entry_or_from_other_source_ignored() -> None:
    assert merge_fresh_entry(STATE, roster(), ENTRY) == (STATE, ENTRY)
    paused = roster(replace(ENTRY, status="paused"))
    assert merge_fresh_entry(FROM_DISK, paused, ENTRY) == (FROM_DISK, ENTRY)


def test_entry_without_counts_keeps_counts_of_same_run() -> None:
    known = RosterEntry("a", "running", 10.0, 11.0, 2, 4, "/w")
    for status in ("running", "cancelled"):
        kept = carry_over_fields(RosterEntry("a", status, 10.00001, 11.00003), known)
        assert (kept.completed_sheets, kept.total_sheets, kept.submitted_at) == (2, 4, 10.0)
        assert kept.status == status
    for other in (
        RosterEntry("a", "running", 20.0, 11.0),
        RosterEntry("a", "running", 10.0, 21.0),
        RosterEntry("a", "running", 10.0, 11.0, 3, 4),
    ):
        assert carry_over_fields(other, known) == other
    assert carry_over_fields(known, None) is known
    assert carry_over_fields(replace(known), known) is known


def test_entry_with_later_end_keeps_first_end_of_run() -> None:
    known = RosterEntry("a", "completed", 10.0, 11.0, 2, 4, completed_at=20.0)
    for entry in (
        RosterEntry("a", "completed", 10.0, 11.0),
        RosterEntry("a", "completed", 10.0, 11.0, 3, 4),
        RosterEntry("a", "completed", 10.0, 11.0, 2, 4, completed_at=99.0),
    ):
        assert carry_over_fields(entry, known).completed_at == 20.0
    assert (
        carry_over_fields(RosterEntry("a", "running", 10.0, 11.0, 2, 4), known).completed_at is None
    )
    later = RosterEntry("a", "completed", 10.0, 21.0, 4, 4, completed_at=30.0)
    assert carry_over_fields(later, known) is later
