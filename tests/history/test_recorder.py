"""The recorder beside another program that locks the database, and with a store that fails."""

import asyncio
import gc
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from marianne_stream.history import (
    database_thread,
    queries,
    recorder,
    writes,
)
from marianne_stream.models import (
    MonitorEvent,
)
from tests.support.recording import Recording, make_snapshot
from tests.support.waiting import wait_until


@contextmanager
def lock_database(path: Path) -> Iterator[None]:
    """Lock a database against writers, as an interactive program does."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    yield
    database.execute("ROLLBACK")
    database.close()


async def test_locked_database_delays_records_and_loses_none(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    await recording.recorder.open(restore=True)
    running = asyncio.create_task(recording.recorder.run())
    recording.publish(1)
    await wait_until(lambda: recording.recorder.written_records == 1)
    with lock_database(recording.store.path):
        recording.publish(2)
        await wait_until(lambda: "history waits" in caplog.text)
        recording.publish(3)
    await wait_until(lambda: recording.recorder.written_records == 3)
    assert await recording.read_steps() == [1, 2, 3]
    assert caplog.text.count("history waits") == 1
    assert (recording.recorder.is_recording, recording.recorder.errors) == (True, 0)
    running.cancel()


async def test_database_that_is_locked_at_the_start_is_tried_again(recording: Recording) -> None:
    recording.store.path.touch()
    with lock_database(recording.store.path):
        assert not await recording.recorder.open(restore=True)
    recording.publish(1)
    assert await recording.recorder.open(restore=False)
    recording.publish(2)
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
    recording.publish(1)
    assert await recording.recorder.open(restore=False)
    recording.publish(2)
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
    recording.publish(1)
    await began.wait()
    recording.publish(2)
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
    recording.publish(1)
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
    later.publish(2, 3)
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
    other.publish(1)
    await other.recorder.close()
    assert (other.recorder.errors, caplog.messages) == (0, [])


async def test_store_that_fails_is_left_to_other_processes(
    recording: Recording, tmp_path: Path
) -> None:
    await recording.recorder.open(restore=True)
    with closing(sqlite3.connect(recording.store.path, isolation_level=None)) as database:
        database.execute("DROP TABLE events")
    database.close()
    recording.publish(1)
    await asyncio.wait_for(recording.recorder.run(), 10)
    assert (recording.recorder.is_recording, recording.recorder.errors) == (False, 1)
    other = Recording(tmp_path / "history.db")
    await other.store.open()
    await other.store.close()


async def test_too_many_events_that_cannot_be_written_end_recording(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_PENDING_BYTES", 1000)
    await recording.recorder.open(restore=True)
    recording.publish(1)
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
