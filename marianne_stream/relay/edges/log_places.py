"""Where in a log's stream a viewer goes on, by its cursor.

It must not know what is done from there on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from marianne_stream.logs.reader import Gap
from marianne_stream.relay.edges.edge_mailbox import COMPLETE, Placed, placed
from marianne_stream.relay.edges.reading import SourceReading
from marianne_stream.relay.format import LogPlace
from marianne_stream.relay.streams import BEGINNING, hash_fields, is_after, newest, span
from marianne_stream.relay.validation import is_number
from marianne_stream.wire.cursors import LogCursor

TRIMMED = Gap("rotated_away", None)

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
    gap: Gap | None = None
    cursor_expired: bool = False
    nothing_new: bool = False
    beyond: bool = False


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
    first = b"%016x" % seen.first
    found = (int(number) for number, name in raw.items() if name == first and is_number(number))
    return sorted(found, reverse=True)[:GENERATIONS]


def is_there(entry: Placed, seen: LogCursor) -> bool:
    """Whether an entry is the one that a cursor stands behind."""
    cursor = LogCursor.parse(entry[1].cursor)
    return cursor is not None and (cursor.first, cursor.digest) == (seen.first, seen.digest)


def begins_behind(first: Placed, seen: LogCursor) -> bool:
    """Whether a stream begins where one stands who has seen a log without a line."""
    _, entry = first
    cursor = LogCursor.parse(entry.cursor)
    same = cursor is not None and cursor.inode == seen.inode
    return same and (not entry.line or entry.number == 1)
