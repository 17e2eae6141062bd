"""A place in a log's stream that is gone: how it is known when it is there again. Pure.

Redis may have lost its data, or a replica has taken over that had not heard of the newest entries.
The relay publishes them again, in most cases with the ids that they had.
"""

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
    """

    place: bytes
    seen: LogCursor

    def compare(self, entry: Placed) -> Found:
        """Where an entry is, by its cursor, and else by its id."""
        cursor, seen = LogCursor.parse(entry[1].cursor), self.seen
        here, there = place_of(entry[0]), place_of(self.place)
        if cursor is not None and cursor.first == seen.first:
            # What was copied or compressed meanwhile has another inode.
            same_file = cursor.inode == seen.inode or here == there
            if same_file and (cursor.offset, cursor.digest) == (seen.offset, seen.digest):
                return Found.THERE
            if same_file and cursor.offset < seen.offset:
                return Found.BEFORE
        # With the same id, and another content, it is passed over as well: a gap follows.
        if here <= there:
            return Found.BEFORE
        return Found.BEHIND if cursor is not None else Found.UNDECIDED
