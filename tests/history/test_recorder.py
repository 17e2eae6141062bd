"""The recorder beside another program that locks the database, and with a store that fails."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.history import queries, store
from marianne_stream.history.event_log import EventLog
from marianne_stream.history.recorder import Recorder
from marianne_stream.history.store import HistoryStore
from marianne_stream.models import MonitorEvent
from tests.support.waiting import wait_until


class Recording:
    """A recorder with its store and the buffer that it records.

    Args:
        path: the file of the store.
    """

    def __init__(self, path: Path) -> None:
        self.buffer = ReplayBuffer()
        self.store = HistoryStore(path, max_age_s=3600, max_bytes=10**8)
        self.recorder = Recorder(self.store, EventLog(self.store, self.buffer), self.buffer)

    def add(self, step: int) -> None:
        """Add a numbered event."""
        self.buffer.add(MonitorEvent("a", "test.step", json.dumps({"step": step}).encode()))
        self.buffer.flush()

    async def read_steps(self) -> list[int | None]:
        """Return the numbers of the stored events, and None for gaps."""
        events = await self.store.read(
            lambda database: queries.select_newest_events(database, 999, 10**6)
        )
        return [json.loads(event.data).get("step") for event in events]


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
    monkeypatch.setattr(store, "BUSY_TIMEOUT_S", 0.05)
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


async def test_store_that_fails_is_left_to_other_processes(
    recording: Recording, tmp_path: Path
) -> None:
    await recording.recorder.open(restore=True)
    with sqlite3.connect(recording.store.path) as database:
        database.execute("DROP TABLE events")
    database.close()
    recording.add(1)
    await asyncio.wait_for(recording.recorder.run(), 10)
    assert (recording.recorder.is_recording, recording.recorder.errors) == (False, 1)
    other = Recording(tmp_path / "history.db")
    await other.store.open()
    await other.store.close()
