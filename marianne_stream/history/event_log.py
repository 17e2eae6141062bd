"""Stored events: those of earlier processes, for clients that resume after a restart."""

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

from marianne_stream.fanout.epochs import Epoch
from marianne_stream.fanout.replay_buffer import (
    MAX_REPLAY_BYTES,
    MAX_REPLAY_EVENTS,
    ReplayBuffer,
)
from marianne_stream.fanout.replay_entry import ReplayEntry, to_sse_name
from marianne_stream.history import queries
from marianne_stream.history.queries import StoredEvent
from marianne_stream.history.store import HistoryStore
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import TimelineCursor


@dataclass(frozen=True, slots=True)
class StoredPage:
    """Part of the stored events.

    Attributes:
        entries: the events, numbered as in the store.
        complete_until: sequence number up to which they are complete.
        lost_until: sequence number of the last event of the same jobs that was removed; 0 if none
            was.
    """

    entries: Sequence[ReplayEntry]
    complete_until: int
    lost_until: int


class EventLog:
    """Finds the positions of cursors in the stored events, and reads on from there.

    Args:
        store: the history.
        replay_buffer: buffer of this process's events, and of the newest stored ones.
    """

    def __init__(self, store: HistoryStore, replay_buffer: ReplayBuffer) -> None:
        self._store = store
        self._replay_buffer = replay_buffer
        # The epoch of this process; None while it is not stored.
        self._epoch: Epoch | None = None
        self._has_ended = False

    async def begin(self, *, restore: bool) -> None:
        """Store this process's epoch. Its later events must be stored as well.

        Args:
            restore: fill the replay buffer from the store; only before the first event.

        Raises:
            HistoryUnavailableError: the store cannot be written; nothing is stored.
        """
        buffer = self._replay_buffer
        if not restore:
            self._epoch = await self._store.begin_epoch(buffer.epoch, buffer.last_number)
            return
        restored = await self._store.begin_restored_epoch(
            buffer.epoch, MAX_REPLAY_EVENTS, MAX_REPLAY_BYTES
        )
        events = newest_contiguous(restored.events)
        entries = await asyncio.to_thread(make_entries, events, restored.epochs)
        buffer.restore(entries, restored.epochs, restored.epoch.last_seq)
        self._epoch = restored.epoch

    def end(self) -> None:
        """Open no position any more: later events of this process are not stored."""
        self._has_ended = True

    def first_buffered_seq(self) -> int:
        """Return the sequence number from which the replay buffer goes on.

        Raises LookupError, as `to_cursor` does, if `find` has returned no position.
        """
        epoch = self._require_epoch()
        oldest = self._replay_buffer.oldest_number
        if epoch.is_restored:
            return oldest
        # The gap at the beginning of the epoch is in the store only.
        return epoch.first_seq + max(1, oldest - epoch.first_number)

    def to_cursor(self, seq: int) -> str:
        """Return the cursor of this process for a sequence number that the buffer goes on from."""
        return self._replay_buffer.cursor_at(self._require_epoch().to_number(seq))

    async def find(self, cursor: TimelineCursor) -> int | None:
        """Return the sequence number of the last event that the client with a cursor has.

        It is None if no process that stored events made the cursor, or this one stores none.

        Raises:
            HistoryUnavailableError: the store cannot be read.
        """
        if self._epoch is None or self._has_ended:
            return None
        for epoch in await self._store.read(queries.select_epochs):
            if epoch.epoch == cursor.epoch and (seq := epoch.to_seq(cursor.number)) is not None:
                return seq
        return None

    async def read_after(self, seq: int, job_ids: Iterable[str]) -> StoredPage:
        """Read the next events after a sequence number.

        Args:
            seq: the sequence number.
            job_ids: jobs whose events are returned, with all gaps; empty for all jobs.

        Raises:
            HistoryUnavailableError: the store cannot be read.
        """
        return await self._store.read(partial(read_page, seq=seq, job_ids=tuple(job_ids)))

    def _require_epoch(self) -> Epoch:
        if self._epoch is None:
            raise LookupError("this process has stored no epoch")
        return self._epoch


def read_page(database: sqlite3.Connection, seq: int, job_ids: Sequence[str]) -> StoredPage:
    """Return the next events after a sequence number; see EventLog.read_after."""
    dropped = queries.select_dropped(database)
    by_job = [dropped.by_job.get(job_id, 0) for job_id in job_ids] or list(dropped.by_job.values())
    # Up to here all events were removed.
    seq = max(seq, dropped.of_all)
    events, complete_until = queries.select_events_after(database, seq, job_ids)
    entries = make_entries(events, queries.select_epochs(database))
    return StoredPage(entries, complete_until, max(dropped.of_all, *by_job, 0))


def newest_contiguous(events: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Return the newest events up to a hole, from which events of a job were removed."""
    if not events:
        return []
    last = events[-1].seq
    newest_first = zip(range(last, 0, -1), reversed(events), strict=False)
    return [event for _, event in takewhile(lambda at: at[0] == at[1].seq, newest_first)][::-1]


def make_entries(events: Iterable[StoredEvent], epochs: Sequence[Epoch]) -> list[ReplayEntry]:
    """Convert stored events in order, with the ids under which they were sent."""
    entries = []
    at = 0
    for event in events:
        while at + 1 < len(epochs) and epochs[at + 1].first_seq <= event.seq:
            at += 1
        epoch = epochs[at]
        event_id = str(TimelineCursor(epoch.epoch, epoch.to_number(event.seq)))
        is_gap = event.job_id is None
        name = "gap" if is_gap else to_sse_name(event.event)
        frame = sse.frame(event.data, event=name, event_id=event_id)
        params = b"" if is_gap else event.data
        entries.append(ReplayEntry(event.seq, event.job_id, event.event, frame, params))
    return entries
