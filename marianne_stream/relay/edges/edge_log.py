"""One job's log on an edge, read once for all of its viewers.

It must not know who they are, or where they stand.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack

from redis.asyncio import Redis

from marianne_stream.fanout.mailboxes import Outlet
from marianne_stream.logs.entries import ENTRY_LINES
from marianne_stream.logs.index import Selection
from marianne_stream.logs.threads import JobThreads
from marianne_stream.relay.edges.edge_mailbox import (
    Placed,
    RelayedBatch,
    RelayedMailbox,
    placed,
)
from marianne_stream.relay.edges.log_frames import lost_entry
from marianne_stream.relay.edges.lost_places import Found, Sought
from marianne_stream.relay.edges.source import Source
from marianne_stream.relay.streams import BEGINNING, Entry, newest, place_of, span
from marianne_stream.wire.cursors import LogCursor

# How many entries one that is behind reads at once.
PAGE_ENTRIES = 500

# How many lines are known of which were read: more than a replica lags behind, as a rule.
READ_KEPT = 1000

# So many marks may stand among the newest lines.
MARKS = 20


class RelayedLog:
    """One job's log, for as long as somebody watches it.

    Args:
        source: whose it is.
        job_id: the job, as the source has it.
        threads: where its lines are matched against what viewers want.

    Attributes:
        last: the id of the entry that was read last.
        readers: how many watch.
        read_bytes: how much was read.
    """

    def __init__(self, source: Source, job_id: str, threads: JobThreads) -> None:
        self.source = source
        self.threads = threads
        self.job_id = job_id
        self.key = source.reading.keys.log(job_id)
        self.last = BEGINNING
        self.readers = 0
        self.read_bytes = 0
        self._seen: LogCursor | None = None
        # Of the line that was read last.
        self._number = 0
        # The place where it stood, while that is gone from the stream and is to be found again.
        self._sought: Sought | None = None
        # Who stood there when it was lost.
        self._stood: set[RelayedMailbox] = set()
        # The cursors of what was read last.
        self._read: deque[str] = deque(maxlen=READ_KEPT)
        # Marks of which it is not known on which side of it they are.
        self._undecided: list[Placed] = []
        self._mailboxes: set[RelayedMailbox] = set()
        self._holds = ExitStack()
        self._beginning = asyncio.Lock()
        self._begun = False

    async def begun(self) -> None:
        """Begins to read where the stream ends at this moment, unless that was done.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        async with self._beginning:
            if not self._begun:
                await self._begin()
                self._begun = True

    async def _begin(self) -> None:
        reading = self.source.reading
        self._holds.enter_context(reading.interests.holding("log", self.job_id))
        reading.wake()
        async with reading.asking() as redis:
            last = placed(await newest(redis, self.key, count=1))
        if last:
            self._stand_at(last[0])
        reading.follow(self.key, self.last, self)

    def end(self) -> None:
        """Nobody watches any more."""
        self.source.reading.leave(self.key)
        self._holds.close()

    def join(self, only: Selection | None, outlet: Outlet | None, place: bytes) -> RelayedMailbox:
        """A mailbox that holds what follows this moment, for one who has all until then."""
        mailbox = RelayedMailbox(only, outlet, place)
        self._mailboxes.add(mailbox)
        return mailbox

    def leave(self, mailbox: RelayedMailbox) -> None:
        """Nothing more is put into a mailbox."""
        self._mailboxes.discard(mailbox)
        self._stood.discard(mailbox)

    async def page(self, behind: bytes) -> tuple[list[Placed], bool]:
        """The entries behind an id, and whether nothing lies between it and the first of them.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        async with self.source.reading.asking() as redis:
            # With the one that was seen: where it is gone, others behind it may be, too.
            found = await span(redis, self.key, least=behind, count=PAGE_ENTRIES + 1)
        entries = placed(found)
        if entries and entries[0][0] == behind:
            return entries[1:], True
        return entries, behind == BEGINNING

    async def newest(self, lines: int) -> tuple[list[Placed], bool]:
        """The newest lines with what happened between them, and whether older ones are gone.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        async with self.source.reading.asking() as redis:
            found = placed(await newest(redis, self.key, count=lines + MARKS))
            oldest = placed(await span(redis, self.key, count=1))
        places = [at for at, (_, entry) in enumerate(found) if entry.line]
        if len(places) > lines:
            return found[places[-lines] :] if lines else found[len(found) :], False
        begins = not oldest or not oldest[0][1].line or oldest[0][1].number == 1
        return found, len(places) < lines and not begins

    async def above(self, place: bytes, first: Sequence[Placed]) -> list[Placed]:
        """The entries above what a viewer begins with, which may go on with a line of theirs.

        Args:
            place: the id behind which the viewer begins.
            first: what it is given before that.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        most = first[0][0] if first else place
        async with self.source.reading.asking() as redis:
            found = placed(await newest(redis, self.key, count=ENTRY_LINES, most=most))
        return [entry for entry in found if not first or entry[0] != most]

    async def rejoin(self, redis: Redis) -> bytes:
        """Where reading goes on, after Redis was away; it may have lost its data."""
        # They come again.
        self._undecided = []
        if self.last == BEGINNING or await span(
            redis, self.key, least=self.last, most=self.last, count=1
        ):
            if self._sought is not None and self._sought.place == self.last:
                self._sought = None
            return self.last
        if self._sought is None and self._seen is not None:
            self._sought = Sought.of(self.last, self._seen, self._read)
            self._stood = set(self._mailboxes)
        return BEGINNING

    def doubts(self, entries: list[Entry]) -> bool:
        """Whether lines may be missing before some entries: their numbers do not tell."""
        if self._sought is not None or self.last == BEGINNING:
            return False
        first = placed(entries[:1])
        if not first or place_of(first[0][0])[0] != place_of(self.last)[0]:
            return True
        return bool(first[0][1].line) and first[0][1].number != self._number + 1

    def on_entries(self, entries: list[Entry], *, whole: bool) -> None:
        """Offers what has come to all who stand here."""
        new = placed(entries)
        self.read_bytes += sum(len(entry.line) for _, entry in new)
        if self._sought is not None:
            new = self._seek(self._sought, new)
        elif new and not whole:
            new = [(new[0][0], lost_entry()), *new]
        if not new:
            return
        self._read.extend(entry.cursor for _, entry in new if entry.cursor)
        batch = RelayedBatch.of(new)
        self._stand_at(batch.end)
        for mailbox in list(self._mailboxes):
            mailbox.offer(batch)

    def _stand_at(self, last: Placed) -> None:
        self.last, entry = last
        seen = LogCursor.parse(entry.cursor)
        self._seen = seen or self._seen
        self._number = seen.number if seen is not None else 0

    def _seek(self, sought: Sought, entries: list[Placed]) -> list[Placed]:
        """Some entries, with a gap where they go on behind the place without coming by it.

        Who has read those before the place passes them over; where they have higher ids now, he
        is told that they are the same.
        """
        entries, self._undecided = [*self._undecided, *entries], []
        passed, at = sought.place, 0
        for here, entry in enumerate(entries):
            found = sought.compare(entry)
            if found is Found.UNDECIDED:
                continue
            if found is Found.BEHIND:
                self._sought = None
                # The relay tells its own gap.
                if entries[at][1].mark != "log_gap":
                    entries.insert(at, (entries[at][0], lost_entry()))
                break
            at = here + 1
            passed = max(passed, entry[0], key=place_of)
            if found is Found.THERE:
                self._sought = None
                break
        if self._sought is not None:
            entries, self._undecided = entries[:at], entries[at:]
        for mailbox in self._stood:
            mailbox.pass_over(sought.place, passed)
        return entries
