"""The timeline: events, encoded once, offered to all, and kept for those who come later.

It must not know where the events come from, or which of them a viewer wants.
"""

import asyncio
import heapq
import re
import secrets
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from marianne_stream.errors import StateUnavailableError
from marianne_stream.fanout.source_positions import ReadPosition, SourcePositions
from marianne_stream.fanout.subscriber_queue import DropOldestQueue
from marianne_stream.models import MonitorEvent, RemotePosition
from marianne_stream.schemas import GapData
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import TimelineCursor

# An event's name stands in a field of its own; any other is sent as `message`, its real name in the
# data.
SAFE_EVENT_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}")

# Names that say something else on our streams, or to a browser.
RESERVED_NAMES = frozenset(
    {"gap", "source", "heartbeat", "stream_error", "error", "open", "message"}
)

MAX_REPLAY_EVENTS = 10_000
MAX_REPLAY_BYTES = 8 * 1024 * 1024

# How long one waits whose cursor is ahead of what has come from others; and until anything has.
CATCH_UP_TIMEOUT_S = 1.5
READY_TIMEOUT_S = 5.0

# Of so many gaps it is known where they stood, long after they are kept.
MAX_KNOWN_GAPS = 1000


@dataclass(frozen=True, slots=True)
class ReplayEntry:
    """One frame of the timeline.

    Attributes:
        number: counts up from 1; what is only said bears that of the next entry.
        job_id: the job it is of; None for all viewers alike.
        event: the conductor's name for it, "" where it is not an event.
        frame: ready to be sent.
        source: whose timeline it comes from; "" for this process's own.
        scope: what the ids of the jobs begin with that it is about, where job_id is None.
    """

    number: int
    job_id: str | None
    event: str
    frame: bytes
    source: str = ""
    scope: str = ""

    @property
    def size_bytes(self) -> int:
        """What it holds in memory, roughly."""
        return len(self.frame)


EntryFilter = Callable[[ReplayEntry], bool]

# Whose entries are looked at alone, besides those for all viewers; none where all are.
JobIds = frozenset[str]
ANY_JOB: JobIds = frozenset()


class ReplayBuffer:
    """Numbers events, publishes them, and keeps the newest.

    Those of other processes keep the ids that they have there, so that a cursor is good wherever
    they are told of; numbers are this process's own all the same.

    What comes in one turn of the loop is published as one, at its end: each viewer is written to
    once. Those who want the same share the same bytes.

    Args:
        max_events: how many are kept.
        max_bytes: how much they may hold together.
        remote: whether the events are those that other processes tell of.

    Attributes:
        last_number: the number of the newest entry, 0 before the first.
        epoch: tells the numbers of this process from those of another.
        slow_consumer_gaps: how many gaps slow readers were told of.
        positions: where entries stand on the timelines of others.
    """

    def __init__(
        self,
        *,
        max_events: int = MAX_REPLAY_EVENTS,
        max_bytes: int = MAX_REPLAY_BYTES,
        remote: bool = False,
    ) -> None:
        # Those who want the same, together.
        self._groups: dict[EntryFilter, dict[DropOldestQueue[ReplayEntry], None]] = {}
        self._pending: list[ReplayEntry] = []
        self.epoch = secrets.token_hex(8)
        self.slow_consumer_gaps = 0
        # Set when anything comes.
        self._entry_added = asyncio.Event()
        self.positions = SourcePositions(remote=remote)
        self._max_events = max_events
        self._max_bytes = max_bytes
        # By number, without a hole; and the numbers of each job's, so that what a viewer wants of
        # one is found without a look at all others.
        self._entries: dict[int, ReplayEntry] = {}
        self._numbers: dict[str | None, list[int]] = {}
        self._size_bytes = 0
        # The numbers of the newest gaps, kept or not.
        self._gap_numbers: deque[int] = deque(maxlen=MAX_KNOWN_GAPS)
        self.last_number = 0

    def add(self, event: MonitorEvent) -> None:
        """Takes an event of the conductor in."""
        safe = SAFE_EVENT_NAME.fullmatch(event.event) and event.event not in RESERVED_NAMES
        name = event.event if safe else ""
        entry = ReplayEntry(0, event.job_id, event.event, event.params)
        self._append(entry, name=name, position=event.remote_position)

    def add_gap(self, *, position: RemotePosition | None = None, scope: str = "") -> None:
        """Says that events were missed before the next one, nobody knows how many.

        Args:
            position: where another process's timeline says so.
            scope: what the ids of the jobs begin with whose events they may be.
        """
        data = GapData(missed=None, reason="monitor_lost").json_bytes()
        self._append(ReplayEntry(0, None, "", data, scope=scope), name="gap", position=position)
        self._gap_numbers.append(self.last_number)

    def broadcast_unbuffered(self, frame_for: Callable[[EntryFilter], bytes]) -> None:
        """Offers a frame to those who listen now; it is not kept.

        Args:
            frame_for: returns the frame for those who want the same; b"" for none.
        """
        self.flush()
        for wanted, mailboxes in self._groups.items():
            if frame := frame_for(wanted):
                entry = ReplayEntry(self.last_number + 1, None, "", frame)
                for mailbox in mailboxes:
                    mailbox.offer_all([entry], sse.EncodedFrames(frame))

    @property
    def has_subscribers(self) -> bool:
        """True if anybody is offered what comes."""
        return bool(self._groups)

    def subscribe(self, queue: DropOldestQueue[ReplayEntry], entry_filter: EntryFilter) -> None:
        """Offers what comes from now on, and is wanted."""
        self.flush()
        self._groups.setdefault(entry_filter, {})[queue] = None

    def unsubscribe(self, queue: DropOldestQueue[ReplayEntry], entry_filter: EntryFilter) -> None:
        """Offers nothing more to one who has subscribed, and wanted this."""
        group = self._groups[entry_filter]
        del group[queue]
        if not group:
            del self._groups[entry_filter]

    def flush(self) -> None:
        """Offers what has come in this turn of the loop, now."""
        entries, self._pending = self._pending, []
        if not entries:
            return
        for wanted, mailboxes in self._groups.items():
            chosen = [entry for entry in entries if wanted(entry)]
            if not chosen:
                continue
            for part in split_into_writes(chosen):
                frames = sse.EncodedFrames(b"".join([entry.frame for entry in part]))
                for mailbox in mailboxes:
                    mailbox.offer_all(part, frames)

    @property
    def oldest_number(self) -> int:
        """The number of the oldest entry that is kept; where there is none, of the next one."""
        return self.last_number + 1 - len(self._entries)

    def resolve_cursor(self, cursor: TimelineCursor) -> ReadPosition | None:
        """What somebody has seen who stands at a cursor; None where more than that is gone."""
        if self.positions.is_remote:
            seen = self.positions.resolve_cursor(cursor)
        else:
            numbers = dict(cursor.positions)
            seen = ReadPosition(numbers[self.epoch]) if self.epoch in numbers else None
        if seen is None or not self.oldest_number - 1 <= seen.number <= self.last_number:
            return None
        return seen

    def mark_ready(self) -> None:
        """All is there that others had told of before this process began."""
        self.positions.is_ready = True
        self._entry_added.set()

    async def wait_caught_up(self, cursor: TimelineCursor | None) -> None:
        """Waits a moment for what is awaited: what was there before, or what a cursor tells of.

        Raises:
            StateUnavailableError: what was there before has not come.
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
                raise StateUnavailableError("no timeline was read yet") from None

    def cursor_at(self, number: int) -> str:
        """The position behind an entry, for one who has all until there."""
        if self.positions.is_remote:
            return self.positions.cursor_at(number)
        return str(TimelineCursor(self.epoch, number))

    def count_missed(self, after: int, before: int) -> int | None:
        """How many events lie between two numbers; None where one of the entries is a gap."""
        if any(after < gap < before for gap in self._gap_numbers):
            return None
        return before - after - 1

    def get_newest(
        self, limit: int, entry_filter: EntryFilter, job_ids: JobIds = ANY_JOB
    ) -> list[ReplayEntry]:
        """The newest entries that are wanted, oldest first; `limit` counts events."""
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
        """The wanted entries behind a number, the oldest first.

        Args:
            after: the number.
            until: that of the last one that is looked at.
            entry_filter: which.
            job_ids: of which jobs they are at most.
            max_bytes: one entry at least is given, and no more than so many bytes; all where it is
                None.

        Returns:
            them; None where some behind the number are not kept any more.
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

    def _append(self, entry: ReplayEntry, *, name: str, position: RemotePosition | None) -> None:
        """Numbers an entry, makes a frame of its data, and publishes it."""
        self.last_number += 1
        if position is not None:
            cursor = self.positions.add(self.last_number, position)
        else:
            # An id of this process among those of others would be good nowhere else.
            cursor = (
                ""
                if self.positions.is_remote
                else str(TimelineCursor(self.epoch, self.last_number))
            )
        frame = sse.frame(entry.frame, event=name, event_id=cursor)
        source = position.source if position is not None else ""
        entry = replace(entry, number=self.last_number, frame=frame, source=source)
        self._entries[self.last_number] = entry
        self._numbers.setdefault(entry.job_id, []).append(self.last_number)
        self._size_bytes += entry.size_bytes
        while len(self._entries) > 1 and (
            len(self._entries) > self._max_events or self._size_bytes > self._max_bytes
        ):
            self._drop_oldest()
        self._entry_added.set()
        self._publish(entry)

    def _drop_oldest(self) -> None:
        entry = self._entries.pop(self.oldest_number)
        self.positions.drop(entry.number)
        self._size_bytes -= entry.size_bytes
        numbers = self._numbers[entry.job_id]
        del numbers[0]
        if not numbers:
            del self._numbers[entry.job_id]

    def _publish(self, entry: ReplayEntry) -> None:
        if not self._groups:
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append(entry)


def matches_any_scope(scopes: frozenset[str], entry_filter: EntryFilter) -> bool:
    """Return whether jobs are wanted whose ids begin with one of some texts."""
    return any(entry_filter(ReplayEntry(0, None, "", b"", scope=scope)) for scope in scopes)


def split_into_writes(entries: list[ReplayEntry]) -> Iterator[list[ReplayEntry]]:
    """Entries, as many together as go out in one write; one that is larger stands alone."""
    part: list[ReplayEntry] = []
    size = 0
    for entry in entries:
        if part and size + entry.size_bytes > sse.MAX_WRITE_BYTES:
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.size_bytes
    yield part
