"""A process that records into a history, without a server."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.history import queries
from marianne_stream.history.event_log import EventLog
from marianne_stream.history.history_reader import HistoryReader
from marianne_stream.history.recorder import Recorder
from marianne_stream.history.store import HistoryStore
from marianne_stream.jobs.snapshots import JobSnapshot, SnapshotEnd
from marianne_stream.models import JobProgress, JobState, MonitorEvent, RunTimes, Sheet
from tests.support.waiting import wait_until

T = TypeVar("T")


class Recording:
    """A process that records: its buffer, its stored events, and the recorder.

    Args:
        path: the file of the store.
        max_age_s: age at which records are removed.
        max_bytes: size above which they are removed.
        max_events: largest number of entries of the buffer.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_age_s: float = 3600,
        max_bytes: int = 10**8,
        max_events: int = 1000,
    ) -> None:
        self.buffer = ReplayBuffer(max_events=max_events)
        self.store = HistoryStore(path, max_age_s=max_age_s, max_bytes=max_bytes)
        self.events = EventLog(self.store, self.buffer)
        self.recorder = Recorder(self.store, self.events, self.buffer)

    def add(self, *steps: int) -> None:
        """Add numbered events, which are published in the next iteration of the loop."""
        for step in steps:
            self.buffer.add(MonitorEvent("a", "test.step", json.dumps({"step": step}).encode()))

    def publish(self, *steps: int) -> None:
        """Add numbered events and publish them now."""
        self.add(*steps)
        self.buffer.flush()

    async def write(self, step: int) -> None:
        """Let the recorder remove what exceeds the limits, then write a numbered event too."""
        self.publish(step)
        running = asyncio.create_task(self.recorder.run())
        await wait_until(lambda: self.recorder.pending_count == 0)
        running.cancel()
        await asyncio.wait([running])

    async def read_steps(self) -> list[int | None]:
        """Return the numbers of the stored events, and None for gaps."""
        events = await self.read(partial(queries.select_newest_events, limit=999, max_bytes=10**6))
        return [json.loads(event.data).get("step") for event in events]

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Return what a query finds, even if the store is closed."""
        reader = HistoryReader(self.store.path)
        found = await reader.read(query)
        await reader.close()
        return found


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
