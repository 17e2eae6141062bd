"""Replay buffer: events are encoded once, published, and kept for clients that resume."""

import asyncio
import heapq
import secrets
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from marianne_stream.errors import StateUnavailableError
from marianne_stream.fanout.epochs import Epoch
from marianne_stream.fanout.replay_entry import (
    EntryFilter,
    ReplayEntry,
    split_into_writes,
    to_sse_name,
)
from marianne_stream.fanout.source_positions import ReadPosition, SourcePositions
from marianne_stream.models import MonitorEvent, RemotePosition
from marianne_stream.schemas.event_schemas import GapData
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import TimelineCursor

MAX_REPLAY_EVENTS = 10_000
MAX_REPLAY_BYTES = 8 * 1024 * 1024

# How long a client with a cursor from the future waits, and how long for the first entries.
CATCH_UP_TIMEOUT_S = 1.5
READY_TIMEOUT_S = 5.0

# Data of a gap between this server and the conductor.
LOST_DATA = GapData(missed=None, reason="monitor_lost").json_bytes()

# The numbers of this many newest gaps are remembered, longer than the gaps themselves.
MAX_KNOWN_GAPS = 1000


# Restricts a search to the entries of these jobs and those for all clients; empty for all jobs.
JobIds = frozenset[str]
ANY_JOB: JobIds = frozenset()


class EntryQueue(Protocol):
    """Receiver of the entries that pass a filter."""

    def offer_all(self, items: Sequence[ReplayEntry], frames: sse.EncodedFrames, /) -> None:
        """Take entries and their encoded frames without waiting. Must not raise."""
        ...


class ReplayBuffer:
    """Numbers events, publishes them, and keeps the newest.

    Events of other processes keep their ids, so a cursor is valid on every edge; entry numbers are
    this process's own. Entries added in one loop iteration are published together at its end, so
    each client gets one write; subscribers with the same filter share the encoded bytes.

    Args:
        max_events: largest number of kept entries.
        max_bytes: largest total size of the entries, in bytes.
        remote: True if the events come from other processes.

    Attributes:
        last_number: number of the newest entry; 0 before the first.
        epoch: random id of this process's numbering.
        restored_number: number of the last restored entry; 0 if none was.
        slow_consumer_gaps: number of gaps that slow consumers were sent.
        positions: positions of the entries in the streams of their origins.
    """

    def __init__(
        self,
        *,
        max_events: int = MAX_REPLAY_EVENTS,
        max_bytes: int = MAX_REPLAY_BYTES,
        remote: bool = False,
    ) -> None:
        # Queues by filter: those with the same filter share frames.
        self._groups: dict[EntryFilter, dict[EntryQueue, None]] = {}
        self._pending: list[ReplayEntry] = []
        self.epoch = secrets.token_hex(8)
        self.slow_consumer_gaps = 0
        self._entry_added = asyncio.Event()
        self.positions = SourcePositions(remote=remote)
        self._max_events = max_events
        self._max_bytes = max_bytes
        # By number, without a hole; and the numbers by job, so that a search for one job does not
        # read the others.
        self._entries: dict[int, ReplayEntry] = {}
        self._numbers: dict[str | None, list[int]] = {}
        self._memory_bytes = 0
        self._gap_numbers: deque[int] = deque(maxlen=MAX_KNOWN_GAPS)
        self.last_number = 0
        self._recorder: EntryQueue | None = None
        self.restored_number = 0
        # The processes that have received the restored events.
        self._earlier: dict[str, Epoch] = {}

    def restore(self, entries: Sequence[ReplayEntry], epochs: Iterable[Epoch], last: int) -> None:
        """Begin with the stored entries of earlier processes.

        Args:
            entries: the newest stored entries in order, whose numbers have no hole.
            epochs: the epochs of the earlier processes.
            last: number of the last entry that was stored.
        """
        self._earlier = {epoch.epoch: epoch for epoch in epochs}
        for entry in entries:
            self.last_number = entry.number
            self._keep(entry)
        self.restored_number = self.last_number = last

    def add(self, event: MonitorEvent) -> None:
        """Add an event of the conductor."""
        entry = ReplayEntry(0, event.job_id, event.event, b"", event.params)
        name = to_sse_name(event.event)
        self._append(entry, event.params, name=name, position=event.remote_position)

    def add_gap(self, *, position: RemotePosition | None = None, scope: str = "") -> None:
        """Add a `gap`: an unknown number of events was missed before the next one.

        Args:
            position: position of the gap in the stream of another process.
            scope: prefix of the ids of the jobs whose events may be missing.
        """
        entry = ReplayEntry(0, None, "", b"", scope=scope)
        self._append(entry, LOST_DATA, name="gap", position=position)

    def broadcast_unbuffered(self, frame_for: Callable[[EntryFilter], bytes]) -> None:
        """Send a frame to the current subscribers without keeping it.

        Args:
            frame_for: returns the frame for the subscribers with a filter; b"" for none.
        """
        self.flush()
        for entry_filter, queues in self._groups.items():
            if frame := frame_for(entry_filter):
                entry = ReplayEntry(self.last_number + 1, None, "", frame)
                for queue in queues:
                    queue.offer_all([entry], sse.EncodedFrames(frame))

    def record_to(self, queue: EntryQueue | None) -> None:
        """Offer all further entries to a recorder, which is not a subscriber; None removes it."""
        self.flush()
        self._recorder = queue

    @property
    def is_recorded(self) -> bool:
        """True if there is a recorder."""
        return self._recorder is not None

    @property
    def has_subscribers(self) -> bool:
        """True if there are subscribers."""
        return bool(self._groups)

    def subscribe(self, queue: EntryQueue, entry_filter: EntryFilter) -> None:
        """Offer the entries that pass a filter to a queue, from now on."""
        self.flush()
        self._groups.setdefault(entry_filter, {})[queue] = None

    def unsubscribe(self, queue: EntryQueue, entry_filter: EntryFilter) -> None:
        """Remove a queue that was subscribed with this filter."""
        group = self._groups[entry_filter]
        del group[queue]
        if not group:
            del self._groups[entry_filter]

    def flush(self) -> None:
        """Publish the entries of this loop iteration now."""
        entries, self._pending = self._pending, []
        if not entries:
            return
        if self._recorder is not None:
            self._recorder.offer_all(entries, sse.EncodedFrames(b""))
        for entry_filter, queues in self._groups.items():
            chosen = [entry for entry in entries if entry_filter(entry)]
            if not chosen:
                continue
            for part in split_into_writes(chosen):
                frames = sse.EncodedFrames(b"".join([entry.frame for entry in part]))
                for queue in queues:
                    queue.offer_all(part, frames)

    @property
    def oldest_number(self) -> int:
        """Number of the oldest kept entry; that of the next entry if none is kept."""
        return self.last_number + 1 - len(self._entries)

    def resolve_cursor(self, cursor: TimelineCursor) -> ReadPosition | None:
        """Return what a client at a cursor has received; None if later entries are lost."""
        if self.positions.is_remote:
            seen = self.positions.resolve_cursor(cursor)
        else:
            numbers = [
                number
                for epoch, position in cursor.positions
                if (number := self._find_number(epoch, position)) is not None
            ]
            seen = ReadPosition(numbers[0]) if numbers else None
        if seen is None or not self.oldest_number - 1 <= seen.number <= self.last_number:
            return None
        return seen

    def mark_ready(self) -> None:
        """Note that all entries from before the start of this process have been read."""
        self.positions.is_ready = True
        self._entry_added.set()

    async def wait_caught_up(self, cursor: TimelineCursor | None) -> None:
        """Wait a moment for entries from before the start, or for those that a cursor implies.

        Raises:
            StateUnavailableError: the entries from before the start have not arrived.
        """
        try:
            async with asyncio.timeout(
                CATCH_UP_TIMEOUT_S if self.positions.is_ready else READY_TIMEOUT_S
            ):
                while self.positions.is_behind(cursor):
                    self._entry_added.clear()
                    await self._entry_added.wait()
        except TimeoutError:
            if not self.positions.is_ready:
                raise StateUnavailableError("no events have been read from Redis yet") from None

    def cursor_at(self, number: int) -> str:
        """Return the cursor of a client that has all entries up to a number."""
        if self.positions.is_remote:
            return self.positions.cursor_at(number)
        return str(TimelineCursor(self.epoch, number))

    def count_missed(self, after: int, before: int) -> int | None:
        """Return the number of events between two numbers; None if a gap is among them."""
        if any(after < gap < before for gap in self._gap_numbers):
            return None
        return before - after - 1

    def get_newest(
        self, limit: int, entry_filter: EntryFilter, job_ids: JobIds = ANY_JOB
    ) -> list[ReplayEntry]:
        """Return the newest entries that pass a filter, oldest first; `limit` counts events."""
        found: list[ReplayEntry] = []
        if limit <= 0:
            return found
        for number in self._iter_newest_first(job_ids):
            entry = self._entries[number]
            if entry_filter(entry):
                found.append(entry)
                limit -= bool(entry.event)
                if not limit:
                    break
        return found[::-1]

    def get_range(
        self,
        after: int,
        until: int,
        entry_filter: EntryFilter,
        job_ids: JobIds = ANY_JOB,
        *,
        max_bytes: int | None = None,
    ) -> list[ReplayEntry] | None:
        """Return the entries after a number that pass a filter, oldest first.

        Args:
            after: number of the last entry that the caller has.
            until: number of the last entry to examine.
            entry_filter: selects entries.
            job_ids: jobs whose entries are examined.
            max_bytes: limit of the total size, in bytes; at least one entry is returned. None means
                no limit.

        Returns:
            the entries; None if some after the number are no longer kept.
        """
        if after < self.oldest_number - 1:
            return None
        found: list[ReplayEntry] = []
        size = 0
        for number in self._iter_oldest_first(after, until, job_ids):
            entry = self._entries[number]
            if not entry_filter(entry):
                continue
            size += entry.size_bytes
            if found and max_bytes is not None and size > max_bytes:
                break
            found.append(entry)
        return found

    def _iter_newest_first(self, job_ids: JobIds) -> Iterable[int]:
        if not job_ids:
            return range(self.last_number, self.oldest_number - 1, -1)
        lists = [self._numbers.get(job, []) for job in (None, *job_ids)]
        return heapq.merge(*map(reversed, lists), reverse=True)

    def _iter_oldest_first(self, after: int, until: int, job_ids: JobIds) -> Iterable[int]:
        if not job_ids:
            return range(after + 1, until + 1)
        lists = [self._numbers.get(job, []) for job in (None, *job_ids)]
        parts = [one[bisect_right(one, after) : bisect_right(one, until)] for one in lists]
        return heapq.merge(*parts)

    def _append(
        self, entry: ReplayEntry, data: bytes, *, name: str, position: RemotePosition | None
    ) -> None:
        """Assign a number to an entry, encode its data, and publish it."""
        self.last_number += 1
        if position is not None:
            cursor = self.positions.add(self.last_number, position)
        else:
            # On an edge, an id of this process would be invalid on every other edge.
            cursor = (
                ""
                if self.positions.is_remote
                else str(TimelineCursor(self.epoch, self.last_number))
            )
        frame = sse.frame(data, event=name, event_id=cursor)
        source = position.source if position is not None else ""
        entry = replace(entry, number=self.last_number, frame=frame, source=source)
        self._keep(entry)
        self._entry_added.set()
        self._publish(entry)

    def _keep(self, entry: ReplayEntry) -> None:
        """Keep an entry, and drop the oldest ones above the limits."""
        self._entries[entry.number] = entry
        self._numbers.setdefault(entry.job_id, []).append(entry.number)
        if entry.is_gap:
            self._gap_numbers.append(entry.number)
        self._memory_bytes += entry.memory_bytes
        while len(self._entries) > 1 and (
            len(self._entries) > self._max_events or self._memory_bytes > self._max_bytes
        ):
            self._drop_oldest()

    def _find_number(self, epoch: str, number: int) -> int | None:
        """Return the number here of an event of an epoch; None if the epoch is not known."""
        if epoch == self.epoch:
            return number
        earlier = self._earlier.get(epoch)
        return earlier.to_seq(number) if earlier is not None else None

    def _drop_oldest(self) -> None:
        entry = self._entries.pop(self.oldest_number)
        self.positions.drop(entry.number)
        self._memory_bytes -= entry.memory_bytes
        numbers = self._numbers[entry.job_id]
        del numbers[0]
        if not numbers:
            del self._numbers[entry.job_id]

    def _publish(self, entry: ReplayEntry) -> None:
        if not self._groups and self._recorder is None:
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append(entry)
