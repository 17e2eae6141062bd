"""The timeline: events, encoded once, offered to all, and kept for those who come later.

It must not know where the events come from, or which of them a viewer wants.
"""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from marianne_stream.fanout.mailboxes import BoundedMailbox
from marianne_stream.models import MonitorEvent
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


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One frame of the timeline.

    Attributes:
        number: counts up from 1; 0 is not kept, and moves no cursor.
        job_id: the job it is of; None for all viewers alike.
        event: the conductor's name for it, "" where it is not an event.
        frame: ready to be sent.
    """

    number: int
    job_id: str | None
    event: str
    frame: bytes

    @property
    def size_bytes(self) -> int:
        """What it holds in memory, roughly."""
        return len(self.frame)


Wanted = Callable[[TimelineEntry], bool]


class Timeline:
    """Numbers events, publishes them, and keeps the newest.

    What comes in one turn of the loop is published as one, at its end: each viewer is written to
    once. Those who want the same share the same bytes.

    Args:
        max_events: how many are kept.
        max_bytes: how much they may hold together.

    Attributes:
        last: the number of the newest entry, 0 before the first.
        epoch: tells the numbers of this process from those of another.
        slow_gaps: how many gaps slow readers were told of.
    """

    def __init__(self, *, max_events: int = REPLAY_EVENTS, max_bytes: int = REPLAY_BYTES) -> None:
        # Those who want the same, together.
        self._groups: dict[Wanted, dict[BoundedMailbox[TimelineEntry], None]] = {}
        self._pending: list[TimelineEntry] = []
        self.epoch = secrets.token_hex(8)
        self.slow_gaps = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._kept: deque[TimelineEntry] = deque()
        self._size = 0
        self.last = 0

    def add(self, event: MonitorEvent) -> None:
        """Takes an event of the conductor in."""
        safe = SAFE_NAME.fullmatch(event.event) and event.event not in OWN_NAMES
        self._append(event.job_id, event.event, event.params, name=event.event if safe else "")

    def add_gap(self) -> None:
        """Says that events were missed before the next one, nobody knows how many."""
        data = GapData(missed=None, reason="monitor_lost").json_bytes()
        self._append(None, "", data, name="gap")

    def say(self, frame: bytes) -> None:
        """Offers a frame to everyone who listens now; it is not kept."""
        self._publish(TimelineEntry(0, None, "", frame))

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
            frames = sse.Frames(b"".join([entry.frame for entry in chosen]))
            for mailbox in mailboxes:
                mailbox.offer_all(chosen, frames)

    def recent(self, limit: int, wanted: Wanted) -> list[TimelineEntry]:
        """The newest entries that are wanted, oldest first; `limit` counts events."""
        found: list[TimelineEntry] = []
        for entry in reversed(self._kept):
            if limit <= 0:
                break
            if wanted(entry):
                found.append(entry)
                limit -= bool(entry.event)
        return found[::-1]

    def since(self, cursor: TimelineCursor, wanted: Wanted) -> list[TimelineEntry] | None:
        """What came after a cursor; None for another process's, or one that is too old."""
        oldest = self._kept[0].number if self._kept else self.last + 1
        if cursor.epoch != self.epoch or not oldest - 1 <= cursor.number <= self.last:
            return None
        newer = self.last - cursor.number
        start = len(self._kept) - newer
        return [entry for index, entry in enumerate(self._kept) if index >= start and wanted(entry)]

    def _append(self, job_id: str | None, event: str, data: bytes, *, name: str) -> None:
        self.last += 1
        cursor = str(TimelineCursor(self.epoch, self.last))
        entry = TimelineEntry(
            self.last, job_id, event, sse.frame(data, event=name, event_id=cursor)
        )
        self._kept.append(entry)
        self._size += entry.size_bytes
        while len(self._kept) > 1 and (
            len(self._kept) > self._max_events or self._size > self._max_bytes
        ):
            self._size -= self._kept.popleft().size_bytes
        self._publish(entry)

    def _publish(self, entry: TimelineEntry) -> None:
        if not self._groups:
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append(entry)
