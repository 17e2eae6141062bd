"""Runs and sheets as the recorder records them."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from marianne_stream.backends.checkpoint import MAX_SHEETS
from marianne_stream.history import pending, recorded_jobs, recorder
from marianne_stream.history.history_reader import HistoryReader
from marianne_stream.history.known_runs import KnownRuns
from marianne_stream.models import format_iso_time
from tests.support.recording import Recording, make_snapshot

# Transitions of such a snapshot: number and status.
COMPLETED = [(0, "running"), (1, "completed"), (2, "completed")]


def select_jobs(database: sqlite3.Connection) -> list[str]:
    """Return the jobs of the stored runs."""
    return [job_id for (job_id,) in database.execute("SELECT job_id FROM runs ORDER BY job_id")]


def count_rows(database: sqlite3.Connection) -> list[tuple[int]]:
    """Return the numbers of stored sheets and transitions."""
    statement = "SELECT count(*) FROM sheets UNION ALL SELECT count(*) FROM transitions"
    return database.execute(statement).fetchall()


def read_transitions(database: sqlite3.Connection) -> list[tuple[int, str, int]]:
    """Return number, status and `backfilled` of all transitions."""
    return database.execute("SELECT number, status, backfilled FROM transitions").fetchall()


async def test_many_jobs_with_the_most_sheets_are_recorded_at_once(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine takes longer than a server that stops would wait.
    monkeypatch.setattr(recorder, "CLOSE_TIMEOUT_S", 120.0)
    await recording.recorder.open(restore=True)
    for number in range(6):
        recording.recorder.offer(make_snapshot(f"job-{number}", sheet_count=MAX_SHEETS))
    assert recording.recorder.pending_count == 6 * (2 + 2 * MAX_SHEETS)
    assert recording.recorder.is_recording
    await recording.recorder.close()
    assert await recording.read(count_rows) == [(6 * MAX_SHEETS,), (6 * (MAX_SHEETS + 1),)]


async def test_sheets_that_wait_to_be_written_are_known_without_records_of_them(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To make the records of 20,000 sheets would hold the event loop."""
    await recording.recorder.open(restore=True)
    snapshot = make_snapshot("a")
    recording.recorder.offer(snapshot)
    reader = HistoryReader(recording.store.path)
    known_runs = KnownRuns(reader, recording.recorder)
    state = replace(snapshot.state, submitted_at=format_iso_time(1.0))
    with monkeypatch.context() as patch:
        patch.delattr(pending, "make_sheet_record")
        known = await known_runs.load(state)
    await reader.close()
    assert known is not None
    assert known.sheets == {sheet.number: sheet for sheet in state.sheets}


async def test_known_sheets_of_jobs_that_were_left_are_bounded(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no longer known is written again, and changes nothing in the store."""
    monkeypatch.setattr(recorded_jobs, "MAX_OPEN_JOBS", 2)
    await recording.recorder.open(restore=True)
    added = []
    for job_id in ("a", "b", "a", "c", "a", "b"):
        before = recording.recorder.pending_count
        recording.recorder.offer(make_snapshot(job_id))
        added.append((job_id, recording.recorder.pending_count > before))
    assert [job_id for job_id, is_new in added if is_new] == ["a", "b", "c", "b"]
    await recording.recorder.close()
    assert await recording.read(count_rows) == [(3 * 2,), (3 * 3,)]


async def test_run_that_has_not_ended_does_not_become_too_old(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "history.db", max_age_s=0)
    await recording.recorder.open(restore=True)
    for has_ended in (False, True):
        recording.recorder.offer(make_snapshot("a", end="finished" if has_ended else ""))
        recording.recorder.offer(make_snapshot("b"))
        await recording.write(1)
        await recording.write(2)
        expected = ["b"] if has_ended else ["a", "b"]
        assert await recording.read(select_jobs) == expected
    await recording.recorder.close()


@pytest.mark.parametrize(("age_s", "backfilled"), [(0.0, 0), (60.0, 1)])
async def test_transitions_before_the_recorder_knew_the_run_are_backfilled(
    recording: Recording, age_s: float, backfilled: int
) -> None:
    """A process that takes over has watched jobs before."""
    await recording.recorder.open(restore=True)
    recording.recorder.offer(make_snapshot("a", submitted_at=time.time() - age_s))
    recording.recorder.offer(make_snapshot("a", sheet_count=3, submitted_at=time.time() - age_s))
    await recording.recorder.close()
    assert await recording.read(read_transitions) == [
        *((number, status, backfilled) for number, status in COMPLETED),
        (3, "completed", 0),
    ]


async def test_job_that_is_opened_again_after_its_end_is_not_recorded_again(
    recording: Recording,
) -> None:
    await recording.recorder.open(restore=True)
    recording.recorder.offer(make_snapshot("a", end="finished"))
    assert recording.recorder.pending_count == 6
    await recording.write(1)
    recording.recorder.offer(make_snapshot("a", end="finished"))
    # The run itself, which has not changed.
    assert recording.recorder.pending_count == 1
    await recording.write(2)
    assert recording.recorder.written_records == 6 + 2


async def test_records_that_are_stored_already_do_not_count_as_written(
    recording: Recording,
) -> None:
    await recording.recorder.open(restore=True)
    recording.recorder.offer(make_snapshot("a"))
    await recording.recorder.close()
    later = Recording(recording.store.path)
    await later.recorder.open(restore=True)
    later.recorder.offer(make_snapshot("a"))
    await later.recorder.close()
    assert later.recorder.written_records == 0


async def test_run_that_was_removed_is_recorded_anew_if_its_job_changes(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "history.db", max_bytes=1)
    await recording.recorder.open(restore=True)
    recording.recorder.offer(make_snapshot("a"))
    await recording.write(1)
    assert await recording.read(count_rows) == [(2,), (3,)]
    await recording.write(2)
    assert await recording.read(count_rows) == [(0,), (0,)]
    recording.recorder.offer(make_snapshot("a"))
    await recording.recorder.close()
    assert await recording.read(read_transitions) == [(*each, 1) for each in COMPLETED]
