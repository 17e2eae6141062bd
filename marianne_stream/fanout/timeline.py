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
from marianne_stream.fanout.mailboxes import BoundedMailbox
from marianne_stream.fanout.places import Places, Seen
from marianne_stream.models import EventPlace, MonitorEvent
from marianne_stream.payloads import GapData
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import TimelineCursor

# An event's name stands in a field of its own; any other is sent as `message`, its real name in the
# data.
SAFE_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}")

# Names that say something else on our streams, or to a browser.
OWN_NAMES = frozenset({"gap", "source", "heartbeat", "stream_error", "error", "open", "message"})

REPLAY_EVENTS = 10_000
REPLAY_BYTES = 8 * 1024 * 1024

# How long one waits whose cursor is ahead of what has come from others; and until anything has.
CATCH_UP_S = 1.5
BEGIN_S = 5.0

# Of so many gaps it is known where they stood, long after they are kept.
KNOWN_GAPS = 1000


@dataclass(frozen=True, slots=True)
class TimelineEntry:
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


Wanted = Callable[[TimelineEntry], bool]

# Whose entries are looked at alone, besides those for all viewers; none where all are.
Jobs = frozenset[str]
ALL_OF_THEM: Jobs = frozenset()


class Timeline:
    """Numbers events, publishes them, and keeps the newest.

    Those of other processes keep the ids that they have there, so that a cursor is good wherever
    they are told of; numbers are this process's own all the same.

    What comes in one turn of the loop is published as one, at its end: each viewer is written to
    once. Those who want the same share the same bytes.

    Args:
        max_events: how many are kept.
        max_bytes: how much they may hold together.
        of_others: whether the events are those that other processes tell of.

    Attributes:
        last: the number of the newest entry, 0 before the first.
        epoch: tells the numbers of this process from those of another.
        slow_gaps: how many gaps slow readers were told of.
        places: where entries stand on the timelines of others.
    """

    def __init__(
        self,
        *,
        max_events: int = REPLAY_EVENTS,
        max_bytes: int = REPLAY_BYTES,
        of_others: bool = False,
    ) -> None:
        # Those who want the same, together.
        self._groups: dict[Wanted, dict[BoundedMailbox[TimelineEntry], None]] = {}
        self._pending: list[TimelineEntry] = []
        self.epoch = secrets.token_hex(8)
        self.slow_gaps = 0
        # Set when anything comes.
        self._news = asyncio.Event()
        self.places = Places(known=of_others)
        self._max_events = max_events
        self._max_bytes = max_bytes
        # By number, without a hole; and the numbers of each job's, so that what a viewer wants of
        # one is found without a look at all others.
        self._kept: dict[int, TimelineEntry] = {}
        self._numbers: dict[str | None, list[int]] = {}
        self._size = 0
        # The numbers of the newest gaps, kept or not.
        self._gaps: deque[int] = deque(maxlen=KNOWN_GAPS)
        self.last = 0

    def add(self, event: MonitorEvent) -> None:
        """Takes an event of the conductor in."""
        safe = SAFE_NAME.fullmatch(event.event) and event.event not in OWN_NAMES
        name = event.event if safe else ""
        entry = TimelineEntry(0, event.job_id, event.event, event.params)
        self._append(entry, name=name, place=event.place)

    def add_gap(self, *, place: EventPlace | None = None, scope: str = "") -> None:
        """Says that events were missed before the next one, nobody knows how many.

        Args:
            place: where another process's timeline says so.
            scope: what the ids of the jobs begin with whose events they may be.
        """
        data = GapData(missed=None, reason="monitor_lost").json_bytes()
        self._append(TimelineEntry(0, None, "", data, scope=scope), name="gap", place=place)
        self._gaps.append(self.last)

    def say(self, frame_for: Callable[[Wanted], bytes]) -> None:
        """Offers a frame to those who listen now; it is not kept.

        Args:
            frame_for: returns the frame for those who want the same; b"" for none.
        """
        self.flush()
        for wanted, mailboxes in self._groups.items():
            if frame := frame_for(wanted):
                entry = TimelineEntry(self.last + 1, None, "", frame)
                for mailbox in mailboxes:
                    mailbox.offer_all([entry], sse.Frames(frame))

    @property
    def has_listeners(self) -> bool:
        """True if anybody is offered what comes."""
        return bool(self._groups)

    def subscribe(self, mailbox: BoundedMailbox[TimelineEntry], wanted: Wanted) -> None:
        """Offers what comes from now on, and is wanted."""
        self.flush()
        self._groups.setdefault(wanted, {})[mailbox] = None

    def unsubscribe(self, mailbox: BoundedMailbox[TimelineEntry], wanted: Wanted) -> None:
        """Offers nothing more to one who has subscribed, and wanted this."""
        group = self._groups[wanted]
        del group[mailbox]
        if not group:
            del self._groups[wanted]

    def flush(self) -> None:
        """Offers what has come in this turn of the loop, now."""
        entries, self._pending = self._pending, []
        if not entries:
            return
        for wanted, mailboxes in self._groups.items():
            chosen = [entry for entry in entries if wanted(entry)]
            if not chosen:
                continue
            for part in writes(chosen):
                frames = sse.Frames(b"".join([entry.frame for entry in part]))
                for mailbox in mailboxes:
                    mailbox.offer_all(part, frames)

    @property
    def oldest(self) -> int:
        """The number of the oldest entry that is kept; where there is none, of the next one."""
        return self.last + 1 - len(self._kept)

    def seen_by(self, cursor: TimelineCursor) -> Seen | None:
        """What somebody has seen who stands at a cursor; None where more than that is gone."""
        if self.places.known:
            seen = self.places.seen_by(cursor)
        else:
            numbers = dict(cursor.places)
            seen = Seen(numbers[self.epoch]) if self.epoch in numbers else None
        if seen is None or not self.oldest - 1 <= seen.number <= self.last:
            return None
        return seen

    def begun(self) -> None:
        """All is there that others had told of before this process began."""
        self.places.begun = True
        self._news.set()

    async def caught_up(self, cursor: TimelineCursor | None) -> None:
        """Waits a moment for what is awaited: what was there before, or what a cursor tells of.

        Raises:
            StateUnavailableError: what was there before has not come.
        """
        try:
            async with asyncio.timeout(CATCH_UP_S if self.places.begun else BEGIN_S):
                while self.places.may_come(cursor):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            if not self.places.begun:
                raise StateUnavailableError("no timeline was read yet") from None

    def cursor_at(self, number: int) -> str:
        """The position behind an entry, for one who has all until there."""
        if self.places.known:
            return self.places.cursor_at(number)
        return str(TimelineCursor(self.epoch, number))

    def missed(self, after: int, before: int) -> int | None:
        """How many events lie between two numbers; None where one of the entries is a gap."""
        if any(after < gap < before for gap in self._gaps):
            return None
        return before - after - 1

    def recent(self, limit: int, wanted: Wanted, jobs: Jobs = ALL_OF_THEM) -> list[TimelineEntry]:
        """The newest entries that are wanted, oldest first; `limit` counts events."""
        found: list[TimelineEntry] = []
        if limit <= 0:
            return found
        for number in self._newest_first(jobs):
            entry = self._kept[number]
            if wanted(entry):
                found.append(entry)
                limit -= bool(entry.event)
                if not limit:
                    break
        return found[::-1]

    def between(
        self,
        after: int,
        last: int,
        wanted: Wanted,
        jobs: Jobs = ALL_OF_THEM,
        *,
        max_bytes: int | None = None,
    ) -> list[TimelineEntry] | None:
        """The wanted entries behind a number, the oldest first.

        Args:
            after: the number.
            last: that of the last one that is looked at.
            wanted: which.
            jobs: of which jobs they are at most.
            max_bytes: one entry at least is given, and no more than so many bytes; all where it is
                None.

        Returns:
            them; None where some behind the number are not kept any more.
        """
        if after < self.oldest - 1:
            return None
        found: list[TimelineEntry] = []
        size = 0
        for number in self._oldest_first(after, last, jobs):
            entry = self._kept[number]
            if not wanted(entry):
                continue
            size += entry.size_bytes
            if found and max_bytes is not None and size > max_bytes:
                break
            found.append(entry)
        return found

    def _newest_first(self, jobs: Jobs) -> Iterable[int]:
        if not jobs:
            return range(self.last, self.oldest - 1, -1)
        lists = [self._numbers.get(job, []) for job in (None, *jobs)]
        return heapq.merge(*map(reversed, lists), reverse=True)

    def _oldest_first(self, after: int, last: int, jobs: Jobs) -> Iterable[int]:
        if not jobs:
            return range(after + 1, last + 1)
        lists = [self._numbers.get(job, []) for job in (None, *jobs)]
        parts = [one[bisect_right(one, after) : bisect_right(one, last)] for one in lists]
        return heapq.merge(*parts)

    def _append(self, entry: TimelineEntry, *, name: str, place: EventPlace | None) -> None:
        """Numbers an entry, makes a frame of its data, and publishes it."""
        self.last += 1
        if place is not None:
            cursor = self.places.add(self.last, place)
        else:
            # An id of this process among those of others would be good nowhere else.
            cursor = "" if self.places.known else str(TimelineCursor(self.epoch, self.last))
        frame = sse.frame(entry.frame, event=name, event_id=cursor)
        source = place.source if place is not None else ""
        entry = replace(entry, number=self.last, frame=frame, source=source)
        self._kept[self.last] = entry
        self._numbers.setdefault(entry.job_id, []).append(self.last)
        self._size += entry.size_bytes
        while len(self._kept) > 1 and (
            len(self._kept) > self._max_events or self._size > self._max_bytes
        ):
            self._drop_oldest()
        self._news.set()
        self._publish(entry)

    def _drop_oldest(self) -> None:
        entry = self._kept.pop(self.oldest)
        self.places.drop(entry.number)
        self._size -= entry.size_bytes
        numbers = self._numbers[entry.job_id]
        del numbers[0]
        if not numbers:
            del self._numbers[entry.job_id]

    def _publish(self, entry: TimelineEntry) -> None:
        if not self._groups:
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append(entry)


def is_away(scopes: frozenset[str], wanted: Wanted) -> bool:
    """Return whether jobs are wanted whose ids begin with one of some texts."""
    return any(wanted(TimelineEntry(0, None, "", b"", scope=scope)) for scope in scopes)


def writes(entries: list[TimelineEntry]) -> Iterator[list[TimelineEntry]]:
    """Entries, as many together as go out in one write; one that is larger stands alone."""
    part: list[TimelineEntry] = []
    size = 0
    for entry in entries:
        if part and size + entry.size_bytes > sse.WRITE_BYTES:
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.size_bytes
    yield part
