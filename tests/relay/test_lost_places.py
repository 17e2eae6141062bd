"""How a place in a log's stream that is gone is known again."""

from dataclasses import replace

import pytest

from marianne_stream.relay.edges.lost_places import Found, Sought
from marianne_stream.relay.format import LogEntry
from marianne_stream.wire.cursors import LogCursor

SEEN = LogCursor(inode=7, first=0xAB, offset=50, number=5, digest=0xCD)

EARLIER = replace(SEEN, offset=40, number=4, digest=0xEF)
LATER = replace(SEEN, offset=60, number=6, digest=0xEF)
COPIED = replace(SEEN, inode=8)
ANOTHER = replace(SEEN, inode=8, first=0x12)
ANEW = replace(EARLIER, digest=0x99)
SOUGHT = Sought.of(b"2000-100", SEEN, (str(EARLIER), str(SEEN)))


@pytest.mark.parametrize(
    ("place", "cursor", "found"),
    [
        (b"2000-80", EARLIER, Found.BEFORE),
        (b"2000-100", SEEN, Found.THERE),
        (b"2000-120", LATER, Found.BEHIND),
        # With a higher id than it had.
        (b"3000-80", EARLIER, Found.BEFORE),
        (b"3000-100", SEEN, Found.THERE),
        (b"3000-120", LATER, Found.BEHIND),
        (b"3000-100", COPIED, Found.BEHIND),
        (b"3000-80", ANOTHER, Found.BEHIND),
        # Of a file that was written anew, and begins alike.
        (b"3000-80", ANEW, Found.BEHIND),
        # Of a file that was rotated away, which may lie where the other one did.
        (b"1000-80", ANOTHER, Found.BEFORE),
        (b"1000-120", LATER, Found.BEFORE),
        (b"2000-100", COPIED, Found.THERE),
        (b"2000-100", replace(SEEN, digest=0xEF), Found.BEFORE),
        (b"2000-0", None, Found.BEFORE),
        (b"3000-0", None, Found.UNDECIDED),
    ],
)
def test_an_entry_is_compared_by_its_file_and_else_by_its_id(
    place: bytes, cursor: LogCursor | None, found: Found
) -> None:
    entry = LogEntry(str(cursor), b'"line"') if cursor else LogEntry("", mark="log_rotated")
    assert SOUGHT.compare((place, entry)) is found


def test_a_gap_that_the_relay_tells_is_behind_the_place() -> None:
    gap = LogEntry("", mark="log_gap")
    assert SOUGHT.compare((b"3000-0", gap)) is Found.BEHIND
    assert SOUGHT.compare((b"1000-0", gap)) is Found.BEFORE
