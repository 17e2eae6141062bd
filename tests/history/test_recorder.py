"""The recorder beside another program that locks the database, and with a store that fails."""

import asyncio
import gc
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from marianne_stream.backends.checkpoint import MAX_SHEETS
from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.history import (
    database_thread,
    pending,
    queries,
    recorded_jobs,
    recorder,
    writes,
)
from marianne_stream.history.event_log import EventLog
from marianne_stream.history.history_reader import HistoryReader
from marianne_stream.history.known_runs import KnownRuns
from marianne_stream.history.recorder import Recorder
from marianne_stream.history.store import HistoryStore
from marianne_stream.jobs.snapshots import JobSnapshot, SnapshotEnd
from marianne_stream.models import (
    JobProgress,
    JobState,
    MonitorEvent,
    RunTimes,
    Sheet,
    format_iso_time,
)
from tests.support.waiting import wait_until

T = TypeVar("T")


class Recording:
    """A recorder with its store and the buffer that it records.

    Args:
        path: the file of the store.
        max_age_s: age at which records are removed.
        max_bytes: size above which they are removed.
    """

    def __init__(self, path: Path, *, max_age_s: float = 3600, max_bytes: int = 10**8) -> None:
        self.buffer = ReplayBuffer()
        self.store = HistoryStore(path, max_age_s=max_age_s, max_bytes=max_bytes)
        self.recorder = Recorder(self.store, EventLog(self.store, self.buffer), self.buffer)

    def add(self, step: int) -> None:
        """Add a numbered event."""
        self.buffer.add(MonitorEvent("a", "test.step", json.dumps({"step": step}).encode()))
        self.buffer.flush()

    async def write(self, step: int) -> None:
        """Let the recorder remove what exceeds the limits, then write a numbered event too."""
        self.add(step)
        running = asyncio.create_task(self.recorder.run())
        await wait_until(lambda: self.recorder.pending_count == 0)
        running.cancel()
        await asyncio.wait([running])

    async def read_steps(self) -> list[int | None]:
        """Return the numbers of the stored events, and None for gaps."""
        events = await self.read(partial(queries.select_newest_events, limit=999, max_bytes=10**6))
        return [json.loads(event.data).get("step") for event in events]

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return what a query finds. It does not open the store again if that was closed."""
        reader = HistoryReader(self.store.path)
        found = await reader.read(query)
        await reader.close()
        return found


def select_jobs(database: sqlite3.Connection) -> list[str]:
    """Return the jobs of the stored runs."""
    return [job_id for (job_id,) in database.execute("SELECT job_id FROM runs ORDER BY job_id")]


def count_rows(database: sqlite3.Connection) -> list[tuple[int]]:
    """Return the numbers of stored sheets and transitions."""
    statement = "SELECT count(*) FROM sheets UNION ALL SELECT count(*) FROM transitions"
    return database.execute(statement).fetchall()


@contextmanager
def lock_database(path: Path) -> Iterator[None]:
    """Lock a database against writers, as an interactive program does."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    yield
    database.execute("ROLLBACK")
    database.close()


@pytest.fixture
async def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recording]:
    """Yield a recorder that waits for a lock for a short time."""
    monkeypatch.setattr(database_thread, "BUSY_TIMEOUT_S", 0.05)
    recording = Recording(tmp_path / "history.db")
    yield recording
    await recording.recorder.close()


async def test_locked_database_delays_records_and_loses_none(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    await recording.recorder.open(restore=True)
    running = asyncio.create_task(recording.recorder.run())
    recording.add(1)
    await wait_until(lambda: recording.recorder.written_records == 1)
    with lock_database(recording.store.path):
        recording.add(2)
        await wait_until(lambda: "history waits" in caplog.text)
        recording.add(3)
    await wait_until(lambda: recording.recorder.written_records == 3)
    assert await recording.read_steps() == [1, 2, 3]
    assert caplog.text.count("history waits") == 1
    assert (recording.recorder.is_recording, recording.recorder.errors) == (True, 0)
    running.cancel()


async def test_database_that_is_locked_at_the_start_is_tried_again(recording: Recording) -> None:
    recording.store.path.touch()
    with lock_database(recording.store.path):
        assert not await recording.recorder.open(restore=True)
    recording.add(1)
    assert await recording.recorder.open(restore=False)
    recording.add(2)
    await recording.recorder.close()
    assert await recording.read_steps() == [2]


async def test_epoch_is_not_stored_if_the_stored_events_cannot_be_read(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY

    def fail(*_args: object, **_options: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(queries, "select_newest_events", fail)
        assert not await recording.recorder.open(restore=True)
    recording.add(1)
    assert await recording.recorder.open(restore=False)
    recording.add(2)
    await recording.recorder.close()
    assert recording.recorder.errors == 0
    assert await recording.read_steps() == [2]


async def test_write_that_goes_on_when_the_recorder_is_cancelled_is_done_once(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, released = asyncio.Event(), threading.Event()
    loop, write_batch = asyncio.get_running_loop(), writes.write_batch

    def write_slowly(*args: Any) -> int:
        count = write_batch(*args)
        loop.call_soon_threadsafe(began.set)
        released.wait()
        return count

    monkeypatch.setattr(writes, "write_batch", write_slowly)
    await recording.recorder.open(restore=True)
    running = asyncio.create_task(recording.recorder.run())
    recording.add(1)
    await began.wait()
    recording.add(2)
    running.cancel()
    await asyncio.wait([running])
    closing = asyncio.create_task(recording.recorder.close())
    await asyncio.sleep(0)
    assert not closing.done()
    released.set()
    await closing
    assert recording.recorder.errors == 0
    assert await recording.read_steps() == [1, 2]


async def test_records_that_wait_for_a_lock_at_the_end_are_written_or_counted(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await recording.recorder.open(restore=True)
    recording.add(1)
    with lock_database(recording.store.path):
        closing = asyncio.create_task(recording.recorder.close())
        # The first attempt takes this long.
        await asyncio.sleep(2 * database_thread.BUSY_TIMEOUT_S)
        assert not closing.done()
    await closing
    assert caplog.messages == []
    later = Recording(recording.store.path)
    monkeypatch.setattr(recorder, "CLOSE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(database_thread, "BUSY_TIMEOUT_S", 0.3)
    await later.recorder.open(restore=True)
    later.add(2)
    later.add(3)
    with lock_database(recording.store.path):
        await later.recorder.close()
    assert caplog.messages == [f"history not written path={recording.store.path} records=2"]
    assert (later.recorder.is_recording, later.recorder.errors) == (False, 0)
    assert await later.read_steps() == [1, None]
    # The attempt that went on meanwhile has failed without a trace.
    del later
    gc.collect()
    assert len(caplog.messages) == 1


async def test_recorder_that_is_cancelled_while_it_opens_records_nothing(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    await recording.recorder.open(restore=True)
    await recording.recorder.close()
    other = Recording(recording.store.path)
    with lock_database(recording.store.path):
        opening = asyncio.create_task(other.recorder.open(restore=False))
        await wait_until(lambda: other.recorder.is_recording)
        opening.cancel()
        await asyncio.wait([opening])
    assert not other.recorder.is_recording
    other.add(1)
    await other.recorder.close()
    assert (other.recorder.errors, caplog.messages) == (0, [])


async def test_store_that_fails_is_left_to_other_processes(
    recording: Recording, tmp_path: Path
) -> None:
    await recording.recorder.open(restore=True)
    with closing(sqlite3.connect(recording.store.path, isolation_level=None)) as database:
        database.execute("DROP TABLE events")
    database.close()
    recording.add(1)
    await asyncio.wait_for(recording.recorder.run(), 10)
    assert (recording.recorder.is_recording, recording.recorder.errors) == (False, 1)
    other = Recording(tmp_path / "history.db")
    await other.store.open()
    await other.store.close()


def make_snapshot(
    job_id: str, *, sheet_count: int = 2, submitted_at: float = 1.0, end: SnapshotEnd = ""
) -> JobSnapshot:
    """Return a snapshot of a job whose sheets were seen to complete."""
    sheets = [Sheet(number, "completed", attempt=1) for number in range(1, sheet_count + 1)]
    state = JobState(
        *(job_id, "running", "conductor", True, "running"),
        sheets=tuple(sheets),
        total_sheets=sheet_count,
        progress=JobProgress(
            times=RunTimes("2026-01-01T00:00:00Z", submitted_at), sees_changes=True
        ),
    )
    return JobSnapshot(state, source="conductor", live=True, end=end)


async def test_many_jobs_with_the_most_sheets_are_recorded_at_once(recording: Recording) -> None:
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


async def test_too_many_events_that_cannot_be_written_end_recording(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_PENDING_BYTES", 1000)
    await recording.recorder.open(restore=True)
    recording.add(1)
    assert recording.recorder.is_recording
    recording.buffer.add(MonitorEvent("a", "test.large", b'"' + b"x" * 1000 + b'"'))
    recording.buffer.flush()
    assert (recording.recorder.is_recording, recording.recorder.errors) == (False, 1)
    assert recording.recorder.pending_count == 0


async def test_recording_that_ends_while_an_event_waits_is_one_error(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_PENDING_BYTES", 100)
    await recording.recorder.open(restore=True)
    recording.buffer.add(MonitorEvent("a", "test.large", b'"' + b"x" * 1000 + b'"'))
    recording.recorder.offer(make_snapshot("a"))
    assert (recording.recorder.is_recording, recording.recorder.errors) == (False, 1)
    assert recording.recorder.pending_count == 0


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


def read_transitions(database: sqlite3.Connection) -> list[tuple[int, str, int]]:
    """Return number, status and `backfilled` of all transitions."""
    return database.execute("SELECT number, status, backfilled FROM transitions").fetchall()


COMPLETED = [(0, "running"), (1, "completed"), (2, "completed")]


async def test_run_that_has_not_ended_does_not_become_too_old(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "history.db", max_age_s=0)
    await recording.recorder.open(restore=True)
    ends: list[SnapshotEnd] = ["", "finished"]
    for end in ends:
        recording.recorder.offer(make_snapshot("a", end=end))
        recording.recorder.offer(make_snapshot("b"))
        await recording.write(1)
        await recording.write(2)
        expected = ["a", "b"] if not end else ["b"]
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
