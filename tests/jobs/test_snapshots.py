"""Frames between two snapshots."""

import json
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from marianne_stream.jobs.snapshots import SHEETS_ADAPTER, JobSnapshot, RosterSnapshot
from marianne_stream.models import (
    JobProgress,
    JobState,
    Roster,
    RosterDetails,
    RosterEntry,
    RunTimes,
    Sheet,
    Waiting,
)
from marianne_stream.wire.sse import EventParser

RUNNING = JobState(
    job_id="a",
    status="running",
    source="conductor",
    live=True,
    checkpoint_status="running",
    sheets=(Sheet(1, "completed"), Sheet(2, "dispatched"), Sheet(3, "pending")),
    total_sheets=3,
    completed_sheets=1,
    current_sheet=2,
    updated_at="2026-11-23T19:24:13Z",
    run="first",
)


def make_snapshot(state: JobState = RUNNING, **options: Any) -> JobSnapshot:
    return JobSnapshot(state, **{"source": "conductor", "live": True, **options})


def names(frames: bytes) -> list[tuple[str, str]]:
    """Return the names and ids of the events, in order."""
    return [(event.event, event.event_id) for event in EventParser().feed(frames)]


def data(frames: bytes, name: str) -> dict[str, Any]:
    found = [event for event in EventParser().feed(frames) if event.event == name]
    assert len(found) == 1
    value: dict[str, Any] = json.loads(found[0].data)
    return value


def test_new_client_gets_source_status_and_sheets_with_id_last() -> None:
    first = make_snapshot()
    frames = first.diff_from(None).data
    assert names(frames) == [
        ("source", ""),
        ("job_status", ""),
        ("job_sheets", f"s-{first.cursor}"),
    ]
    assert len(data(frames, "job_sheets")["sheets"]) == 3


def test_changed_sheets_sent_alone() -> None:
    sheets = (RUNNING.sheets[0], Sheet(2, "completed"), RUNNING.sheets[2])
    after = make_snapshot(replace(RUNNING, sheets=sheets, completed_sheets=2, current_sheet=None))
    frames = after.diff_from(make_snapshot()).data
    assert [name for name, _ in names(frames)] == ["job_status", "job_sheets"]
    assert data(frames, "job_sheets")["sheets"] == [
        {
            "number": 2,
            "status": "completed",
            "instrument_name": None,
            "movement": None,
            "error_message": None,
        }
    ]


def test_changed_status_has_id() -> None:
    after = make_snapshot(replace(RUNNING, status="paused"))
    assert names(after.diff_from(make_snapshot()).data) == [("job_status", f"s-{after.cursor}")]


def test_changed_sheet_sent_without_status() -> None:
    sheets = (*RUNNING.sheets[:2], Sheet(3, "ready"))
    after = make_snapshot(replace(RUNNING, sheets=sheets))
    assert names(after.diff_from(make_snapshot()).data) == [("job_sheets", f"s-{after.cursor}")]
    assert not data(after.diff_from(make_snapshot()).data, "job_sheets")["complete"]


def test_other_sheets_sent_complete() -> None:
    after = make_snapshot(replace(RUNNING, sheets=RUNNING.sheets[:2], total_sheets=2))
    sheets = data(after.diff_from(make_snapshot()).data, "job_sheets")
    assert (sheets["complete"], len(sheets["sheets"])) == (True, 2)


def test_changed_time_alone_sends_nothing() -> None:
    after = make_snapshot(replace(RUNNING, updated_at="2026-11-23T19:25:00Z"))
    assert after.is_same(make_snapshot())
    assert after.cursor == make_snapshot().cursor
    assert after.diff_from(make_snapshot()).data == b""


def test_same_state_of_other_run_sent() -> None:
    after = make_snapshot(replace(RUNNING, run="second"))
    assert after.cursor != make_snapshot().cursor
    assert [name for name, _ in names(after.diff_from(make_snapshot()).data)] == [
        "job_status",
        "job_sheets",
    ]


def test_changed_source_keeps_cursor() -> None:
    after = make_snapshot(
        replace(RUNNING, source="registry", live=False), source="registry", live=False
    )
    frames = after.diff_from(make_snapshot()).data
    assert names(frames) == [("source", "")]
    assert data(frames, "source") == {"job_id": "a", "source": "registry", "live": False}
    assert after.cursor == make_snapshot().cursor


def test_end_has_id_of_own_kind() -> None:
    done = replace(RUNNING, status="completed", checkpoint_status="completed")
    after = make_snapshot(done, end="finished")
    assert names(after.diff_from(make_snapshot()).data) == [
        ("job_status", f"s-{after.cursor}"),
        ("job_finished", f"f-{after.cursor}"),
    ]
    assert data(after.diff_from(make_snapshot()).data, "job_finished") == {
        "job_id": "a",
        "final_status": "completed",
    }
    assert names(after.make_resume_frames()) == [
        ("source", ""),
        ("job_finished", f"f-{after.cursor}"),
    ]


def test_sheets_encoded_once_for_clients_with_and_without_paths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dump_json = Mock(wraps=SHEETS_ADAPTER.dump_json)
    monkeypatch.setattr(SHEETS_ADAPTER, "dump_json", dump_json)
    plain = make_snapshot(replace(RUNNING, workspace="/srv/a"))
    full = plain.show_paths()
    assert dump_json.call_count == 1
    assert full is plain.show_paths()
    assert full.cursor == plain.cursor
    assert data(full.diff_from(None).data, "job_status")["workspace"] == "/srv/a"
    assert "workspace" not in data(plain.diff_from(None).data, "job_status")
    assert data(full.diff_from(None).data, "job_sheets")["complete"]


def test_frames_shared_by_clients() -> None:
    after = make_snapshot(replace(RUNNING, status="paused"))
    assert after.diff_from(make_snapshot()).data is after.diff_from(make_snapshot()).data


def test_roster_sent_complete_then_as_changes() -> None:
    old, new = RosterEntry("old", "running", 1.0), RosterEntry("new", "running", 2.0)
    first = RosterSnapshot(Roster({"old": old, "new": new}, source="conductor", live=True), {})
    frames = first.diff_from(None).data
    assert names(frames) == [("source", ""), ("roster", f"r-{first.cursor}")]
    assert [job["job_id"] for job in data(frames, "roster")["jobs"]] == ["new", "old"]
    assert data(frames, "roster")["complete"]
    changed = {"new": replace(new, status="paused")}
    second = RosterSnapshot(Roster(changed, source="conductor", live=True), {})
    change = data(second.diff_from(first).data, "roster")
    assert [job["status"] for job in change["jobs"]] == ["paused"]
    assert change["removed"] == ["old"]
    assert not change["complete"]


def test_stalled_sheet_of_the_roster_sent_without_another_cursor() -> None:
    roster = Roster({"a": RosterEntry("a", "running", 1.0)}, source="conductor", live=True)
    first = RosterSnapshot(roster, {})
    second = RosterSnapshot(roster, {"a": RosterDetails(stalled=(2,))}, first)
    assert first.cursor == second.cursor
    assert not first.is_same(second)
    assert data(second.diff_from(first).data, "roster")["jobs"][0]["stalled"] == [2]
    again = RosterSnapshot(roster, {"a": RosterDetails()}, second)
    assert "stalled" not in data(again.diff_from(second).data, "roster")["jobs"][0]


def test_entry_of_the_roster_has_first_stalled_sheets() -> None:
    roster = Roster({"a": RosterEntry("a", "running", 1.0)}, source="conductor", live=True)
    details = RosterDetails(stalled=tuple(range(1, 1_000)))
    frames = RosterSnapshot(roster, {"a": details}).diff_from(None).data
    assert data(frames, "roster")["jobs"][0]["stalled"] == list(range(1, 21))


def test_first_sheets_of_a_large_job_are_bounded() -> None:
    sheets = tuple(
        Sheet(
            number,
            "failed" if number <= 10 else "completed",
            instrument_name="claude-code",
            movement=number // 10,
            error_message="x" * 300 if number <= 10 else None,
            error_truncated=number <= 10,
            error_code="E999" if number <= 10 else None,
            attempt=2,
            started_at=1.8e9 + number,
            completed_at=1.8e9 + number + 1.5,
            observed=True,
            estimated=True,
        )
        for number in range(1, 301)
    )
    state = replace(RUNNING, sheets=sheets)
    frames = JobSnapshot(state, source="conductor", live=True).diff_from(None)
    assert len(frames.data) <= 96 * 1024


def test_error_in_the_roster_is_cut() -> None:
    entry = RosterEntry("a", "failed", 1.0, error_message="x" * 1000)
    roster = RosterSnapshot(Roster({"a": entry}, source="registry", live=False), {})
    (job,) = data(roster.diff_from(None).data, "roster")["jobs"]
    assert job["error_message"] == "x" * 300


def test_waits_of_a_run_do_not_count_for_a_cursor() -> None:
    paused = replace(RUNNING, status="paused", checkpoint_status="paused")
    times = RunTimes("first", 1.0, started_at=2.0, waiting_since=9.0)
    first = make_snapshot(replace(paused, progress=JobProgress(times)))
    later = replace(times, started_at=3.0, waited_s=4.0, waiting_since=8.0)
    second = make_snapshot(replace(paused, progress=JobProgress(later)))
    assert first.is_same(second)
    assert second.diff_from(first).data == b""
    status = data(second.diff_from(None).data, "job_status")
    assert (status["waited_s"], status["waiting"]["since"]) == (4.0, "1970-01-01T00:00:08.000Z")


def test_wait_that_begins_as_the_last_sheet_ends_is_sent_with_the_sheet() -> None:
    paused = replace(RUNNING, status="paused", current_sheet=None)
    before = make_snapshot(replace(paused, progress=JobProgress(RunTimes("first", 1.0, 2.0))))
    sheets = (RUNNING.sheets[0], Sheet(2, "pending"), RUNNING.sheets[2])
    times = RunTimes("first", 1.0, 2.0, waiting_since=9.0)
    after = make_snapshot(replace(paused, sheets=sheets, progress=JobProgress(times)))
    frames = after.diff_from(before).data
    assert [name for name, _ in names(frames)] == ["job_status", "job_sheets"]
    assert data(frames, "job_status")["waiting"]["since"] == "1970-01-01T00:00:09.000Z"


def test_waits_of_an_entry_do_not_count_for_a_cursor() -> None:
    entry = RosterEntry("a", "paused", 1.0, 2.0)
    roster = Roster({"a": entry}, source="conductor", live=True)
    first = RosterSnapshot(roster, {})
    waiting = Waiting("paused", "The job is paused.")
    known = RosterSnapshot(roster, {"a": RosterDetails(waiting=waiting)}, first)
    since = replace(waiting, since=9.0)
    details = RosterDetails(started_at="1970-01-01T00:00:01Z", waited_s=4.0, waiting=since)
    later = RosterSnapshot(roster, {"a": details}, known)
    assert later.cursor == known.cursor
    # They are read after the roster has shown that the job waits.
    assert not later.is_same(known)
    (job,) = data(later.diff_from(known).data, "roster")["jobs"]
    assert (job["started_at"], job["waited_s"]) == ("1970-01-01T00:00:01Z", 4.0)
    assert job["waiting"]["since"] == "1970-01-01T00:00:09.000Z"
    # A start that the backend reports is a change.
    restarted = Roster({"a": replace(entry, started_at=9.0)}, source="conductor", live=True)
    assert RosterSnapshot(restarted, {"a": details}, later).cursor != later.cursor
