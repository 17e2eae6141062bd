"""A place in a log's stream that is gone: how it is known when it is there again. Pure.

Redis may have lost its data, or a replica has taken over that had not heard of the newest entries.
The relay publishes them again, in most cases with the ids that they had.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from marianne_stream.relay.edges.edge_mailbox import Placed
from marianne_stream.relay.streams import place_of
from marianne_stream.wire.cursors import LogCursor


class Found(Enum):
    """Where an entry is, seen from a place that is sought."""

    BEFORE = auto()
    THERE = auto()
    BEHIND = auto()
    # A mark with a higher id: what follows it may be what was read already.
    UNDECIDED = auto()


@dataclass(frozen=True, slots=True)
class Sought:
    """A place that was read, and is gone.

    Attributes:
        place: the id of the entry that was read last.
        seen: its cursor.
        digests: by first line and offset, those of the newest lines that were read: a file that was
            written anew from its beginning may be like the one before in all else.
    """

    place: bytes
    seen: LogCursor
    digests: Mapping[tuple[int, int], int]

    @classmethod
    def of(cls, place: bytes, seen: LogCursor, read: Iterable[str]) -> "Sought":
        """A place that is gone, and the cursors of what was read before it."""
        cursors = filter(None, map(LogCursor.parse, read))
        return cls(place, seen, {(each.first, each.offset): each.digest for each in cursors})

    def compare(self, entry: Placed) -> Found:
        """Where an entry is, by its cursor, and else by its id."""
        cursor, seen = LogCursor.parse(entry[1].cursor), self.seen
        here, there = place_of(entry[0]), place_of(self.place)
        if cursor is not None and cursor.first == seen.first:
            # What was copied or compressed meanwhile has another inode.
            same_file = cursor.inode == seen.inode or here == there
            if same_file and (cursor.offset, cursor.digest) == (seen.offset, seen.digest):
                return Found.THERE
            known = self.digests.get((cursor.first, cursor.offset), cursor.digest)
            if same_file and cursor.offset < seen.offset and known == cursor.digest:
                return Found.BEFORE
        # With the same id, and another content, it is passed over as well: a gap follows.
        if here <= there:
            return Found.BEFORE
        # A gap says that the relay itself has not found the place.
        known_mark = entry[1].mark == "log_gap"
        return Found.BEHIND if cursor is not None or known_mark else Found.UNDECIDED
