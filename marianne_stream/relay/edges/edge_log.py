"""One job's log on an edge, read once for all of its viewers, and where in it one goes on."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from marianne_stream.fanout.mailboxes import Sink
from marianne_stream.logs.entries import MAX_ENTRY_LINES
from marianne_stream.logs.index import LineFilter
from marianne_stream.logs.reader import LogGap
from marianne_stream.logs.threads import JobThreads
from marianne_stream.relay.edges.edge_mailbox import (
    COMPLETE,
    Placed,
    RelayedBatch,
    RelayedMailbox,
    lost_entry,
    placed,
)
from marianne_stream.relay.edges.reading import SourceReading
from marianne_stream.relay.edges.source import Source
from marianne_stream.relay.format import LogPlace
from marianne_stream.relay.streams import (
    BEGINNING,
    Entry,
    hash_fields,
    is_after,
    newest,
    place_of,
    span,
)
from marianne_stream.relay.validation import is_number
from marianne_stream.wire.cursors import LogCursor

# How many entries one that is behind reads at once.
PAGE_ENTRIES = 500

# So many marks may stand among the newest lines.
MARKS = 20

TRIMMED = LogGap("rotated_away", None)

# A relay knows the last 100 generations of a log; more files may begin with the same line.
GENERATIONS = 100
FILES = 1_000


@dataclass(frozen=True, slots=True)
class RelayedStart:
    """Where a viewer begins.

    Attributes:
        place: behind the entry with this id.
        first: what is sent first: the newest lines of a new viewer.
        gap: whether something is missing before what comes, and why.
        cursor_expired: whether its cursor could not be used.
        nothing_new: whether it has seen the end of all there is.
        beyond: whether fewer lines are kept than it wants.
    """

    place: bytes
    first: Sequence[Placed] = ()
    gap: LogGap | None = None
    cursor_expired: bool = False
    nothing_new: bool = False
    beyond: bool = False


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
        async with reading.asking() as redis:
            last = placed(await newest(redis, self.key, count=1))
        if last:
            self._stand_at(last[0])
        reading.follow(self.key, self.last, self)

    def end(self) -> None:
        """Nobody watches any more."""
        self.source.reading.leave(self.key)
        self._holds.close()

    def join(self, only: LineFilter | None, outlet: Sink | None, place: bytes) -> RelayedMailbox:
        """A mailbox that holds what follows this moment, for one who has all until then."""
        mailbox = RelayedMailbox(only, outlet, place)
        self._mailboxes.add(mailbox)
        return mailbox

    def leave(self, mailbox: RelayedMailbox) -> None:
        """Nothing more is put into a mailbox."""
        self._mailboxes.discard(mailbox)

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
            found = placed(await newest(redis, self.key, count=MAX_ENTRY_LINES, most=most))
        return [entry for entry in found if not first or entry[0] != most]

    async def on_entries(self, entries: list[Entry]) -> None:
        """Offer what has come to all who stand here, behind a gap where something is missing.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        new = placed(entries)
        self.read_bytes += sum(len(entry.line) for _, entry in new)
        if self._doubts(new) and not await self._is_found():
            if not new or new[0][1].mark != "log_gap":
                new.insert(0, (entries[0][0], lost_entry()))
        else:
            new = [entry for entry in new if is_after(entry[0], self.last)]
        if not new:
            return
        batch = RelayedBatch.of(new)
        self._stand_at(batch.end)
        for mailbox in list(self._mailboxes):
            mailbox.offer(batch)

    def _doubts(self, new: Sequence[Placed]) -> bool:
        """Whether lines may be missing before some entries: their numbers do not tell."""
        if self.last == BEGINNING:
            return False
        if not new or place_of(new[0][0])[0] != place_of(self.last)[0]:
            return True
        return bool(new[0][1].line) and new[0][1].number != self._number + 1

    async def _is_found(self) -> bool:
        """Whether the entry that was read last is there, maybe again, under a higher id."""
        async with self.source.reading.asking() as redis:
            if await span(redis, self.key, least=self.last, most=self.last, count=1):
                return True
        start = None
        if self._seen is not None:
            start = await resumed(self.source.reading, self.job_id, self._seen)
        if start is None or start.gap is not None or not is_after(start.place, self.last):
            return False
        self.last = start.place
        return True

    def _stand_at(self, last: Placed) -> None:
        self.last, entry = last
        seen = LogCursor.parse(entry.cursor)
        self._seen = seen or self._seen
        self._number = seen.number if seen is not None else 0


async def resumed(reading: SourceReading, job_id: str, seen: LogCursor) -> RelayedStart | None:
    """Where one begins who has seen a line; None where it is not known here.

    Args:
        reading: of the source.
        job_id: whose log it is.
        seen: the cursor of the line.

    Raises:
        StateUnavailableError: Redis does not answer.
    """
    generations = await generations_of(reading, job_id, seen)
    key = reading.keys.log(job_id)
    async with reading.asking() as redis:
        first = placed(await span(redis, key, count=1))
        last = placed(await newest(redis, key, count=1))
        for generation in generations:
            for behind in (True, False) if seen.kind == "c" else (False,):
                place = str(LogPlace(generation, seen.offset, behind)).encode()
                found = placed(await span(redis, key, least=place, most=place, count=1))
                if found and is_there(found[0], seen):
                    over = behind and last[0][0] == place and last[0][1].mark == COMPLETE
                    return RelayedStart(place, nothing_new=over)
    if not first:
        return None
    if not seen.offset and begins_behind(first[0], seen):
        return RelayedStart(BEGINNING)
    if generations and seen.offset:
        place = str(LogPlace(generations[0], seen.offset)).encode()
        if is_after(first[0][0], place):
            # What followed it was trimmed.
            return RelayedStart(BEGINNING, gap=TRIMMED)
    return None


async def generations_of(reading: SourceReading, job_id: str, seen: LogCursor) -> list[int]:
    """The generations of the files in which a cursor can lie, the newest first."""
    async with reading.asking() as redis:
        raw = await hash_fields(redis, reading.keys.files(job_id), FILES)
    first = b"%016x" % seen.first_line_hash
    found = (int(number) for number, name in raw.items() if name == first and is_number(number))
    return sorted(found, reverse=True)[:GENERATIONS]


def is_there(entry: Placed, seen: LogCursor) -> bool:
    """Whether an entry is the one that a cursor stands behind."""
    cursor = LogCursor.parse(entry[1].cursor)
    return cursor is not None and (cursor.first_line_hash, cursor.window_hash) == (
        seen.first_line_hash,
        seen.window_hash,
    )


def begins_behind(first: Placed, seen: LogCursor) -> bool:
    """Whether a stream begins where one stands who has seen a log without a line."""
    _, entry = first
    cursor = LogCursor.parse(entry.cursor)
    same = cursor is not None and cursor.inode == seen.inode
    return same and (not entry.line or entry.number == 1)
