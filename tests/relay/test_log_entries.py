"""What a log's frames are in its stream: lines that stay together, and all else one by one."""

from collections.abc import Iterable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.feeds.log_frames import (
    make_line_frames,
    make_log_gap_frame,
    make_rotated_frame,
)
from marianne_stream.logs.log_reader import LogGap, LogRotation, ReadResult
from marianne_stream.relay.edge.relayed_queue import make_entry_frame
from marianne_stream.relay.publish.log_entries import (
    EntryIdAllocator,
    LineBatch,
    StreamPosition,
    parse_entries,
    parse_line_batch,
)
from marianne_stream.relay.schema import CONDUCTOR_FIELD, LogEntry, LogEntryId
from marianne_stream.wire import sse
from marianne_stream.wire.log_lines import LogLine, LogLineSplitter

READ_AT = "2026-11-24T03:00:00.000Z"

ODD = [
    b"",
    b'a "quoted" word \\',
    b'","line_number":7,"timestamp":"","initial":true}',
    b'id: l-1-00000000000000ab-7-1-00000000000000cd\\n\\nevent: log\\ndata: {"line":"x"}',
    "é✓ 🎼 \u2028 \x85 \x00 \x1b[31m".encode(),
    b"\xff no UTF-8",
    b"ends as DOS does\r",
    b"x" * 65_536,
]


ROTATED = make_rotated_frame(LogRotation("marianne.log", "renamed"))


def frames(
    lines: Iterable[LogLine],
    *,
    first: int = 0xAB,
    inode: int = 0x24200C,
    timestamp: str = READ_AT,
    initial: bool = False,
    of_conductor: bool = False,
) -> bytes:
    """Lines as a follower gives them. Of the step, no more is there than is used."""
    step = ReadResult(list(lines), inode, first, cast("Any", None), is_conductor_log=of_conductor)
    return b"".join(make_line_frames(step, step.lines, timestamp=timestamp, is_initial=initial))


def cut(*texts: bytes, offset: int = 0, number: int = 0) -> list[LogLine]:
    """Texts as the lines of a file, from an offset on."""
    cutter = LogLineSplitter(offset=offset, number=number, window=b"")
    return cutter.feed(b"".join(text + b"\n" for text in texts))


def assert_the_same(some: bytes) -> LineBatch:
    """Checks that lines that stay together are what they are one by one."""
    lines = parse_line_batch(some)
    assert lines is not None
    together, single = EntryIdAllocator(StreamPosition()), EntryIdAllocator(StreamPosition())
    before, generation = together.assign_line_ids(lines, 1000)
    placed = single.assign_ids(parse_entries(some), 1000)
    assert before == []
    assert list(lines.make_ids(generation)) == [str(place) for place, _ in placed]
    rows = zip(lines.cursors, lines.texts, lines.numbers, strict=True)
    labelled = dict([CONDUCTOR_FIELD]) if lines.is_conductor_log else {}
    assert [
        {"c": cursor, "l": text.encode(), "n": number, "t": lines.timestamp, **labelled}
        for cursor, text, number in rows
    ] == [entry.fields() for _, entry in placed]
    assert (together.position, together.new_generations) == (
        single.position,
        single.new_generations,
    )
    return lines


LEVELS = st.sampled_from(
    [b"[error] a", b"2026-11-28T05:00:00Z [info] job.submitted job_id=a", b'{"level": 30}']
)


@given(
    texts=st.lists(st.one_of(st.binary(max_size=40), LEVELS), min_size=1, max_size=8),
    initial=st.booleans(),
    of_conductor=st.booleans(),
)
def test_lines_that_stay_together_are_what_they_are_one_by_one(
    *, texts: list[bytes], initial: bool, of_conductor: bool
) -> None:
    some = frames(cut(*texts), initial=initial, of_conductor=of_conductor)
    lines = assert_the_same(some)
    assert lines.is_conductor_log == of_conductor
    # An edge sends the same, to the letter, but for what was there when its viewer came.
    entries = [
        make_entry_frame(LogEntry.from_fields(as_read(entry)), is_initial=initial)
        for entry in parse_entries(some)
    ]
    assert b"".join(entries) == some


def as_read(entry: LogEntry) -> dict[bytes, bytes]:
    """The fields of an entry as Redis gives them back."""
    return {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in entry.fields().items()
    }


def test_whatever_a_line_says_it_is_one_line() -> None:
    assert len(assert_the_same(frames(cut(*ODD))).cursors) == len(ODD)


def test_a_line_without_its_end_stays_with_the_others() -> None:
    cutter = LogLineSplitter(offset=0, number=0, window=b"")
    lines = cutter.feed(b"one\ntwo")
    last = cutter.flush()
    assert last is not None
    assert assert_the_same(frames([*lines, last])).numbers == ("1", "2")


@pytest.mark.parametrize(
    "some",
    [
        b"",
        sse.id_only("l-24200c-00000000000000ab-0-0-00000000000000cd"),
        make_log_gap_frame(None),
        frames(cut(b"one")) + make_log_gap_frame(None),
        make_log_gap_frame(None) + frames(cut(b"one")),
        frames(cut(b"one")) + b": a comment\n\n" + frames(cut(b"two", offset=4, number=1)),
        frames(cut(b"x" * 65_537)),
        frames(cut(b"one")) + frames(cut(b"two", offset=4, number=1), first=0xCD),
        frames(cut(b"one")) + frames(cut(b"two", offset=4, number=1), timestamp="later"),
        frames(cut(b"one", b"two")) + frames(cut(b"one")),
    ],
    ids=[
        *("nothing", "position", "gap", "gap behind", "gap before", "comment", "cut"),
        *("another file", "another time", "not rising"),
    ],
)
def test_what_is_not_lines_of_one_file_is_taken_one_by_one(some: bytes) -> None:
    assert parse_line_batch(some) is None


def test_a_mark_that_waits_comes_before_the_lines_that_follow_it() -> None:
    placer = EntryIdAllocator(
        StreamPosition(generation=7, cursor="l", offset=50, first_line_hash=0xAB)
    )
    assert placer.assign_ids(parse_entries(make_log_gap_frame(LogGap("truncated", 5))), 1000) == []
    lines = parse_line_batch(frames(cut(b"one", b"two"), first=0xCD))
    assert lines is not None
    before, generation = placer.assign_line_ids(lines, 1000)
    assert [(place, entry.mark) for place, entry in before] == [(LogEntryId(1000, 0), "log_gap")]
    assert (generation, placer.new_generations) == (1000, {1000: 0xCD})
    assert lines.make_ids(generation) == ("1000-8", "1000-16")
    assert placer.assign_line_ids(lines, 1000)[0] == []


def test_lines_that_come_again_begin_a_new_generation() -> None:
    some = parse_line_batch(frames(cut(b"one", b"two")))
    assert some is not None
    placer = EntryIdAllocator(StreamPosition())
    assert placer.assign_line_ids(some, 1000) == ([], 1000)
    assert placer.assign_line_ids(some, 1000) == ([], 1001)


@pytest.mark.parametrize("alone", [False, True], ids=["together", "one by one"])
def test_a_new_generation_is_higher_than_all_that_were_given(*, alone: bool) -> None:
    before = StreamPosition(1000, cursor_of(frames(cut(b"one"))), 4, 0xAB)
    marks = (make_log_gap_frame(LogGap("truncated", 5)), ROTATED)
    follows = frames(cut(b"two", b"three"), first=0xCD)
    # The clock of the server that has taken over may be behind, and its stream set back.
    placer = EntryIdAllocator(before, highest_generation=3000)
    found = places(placer, *marks, follows, now_s=2000, alone=alone)
    assert found == ["3001-0", "3002-0", "3002-8", "3002-20"]


def cursor_of(line: bytes) -> str:
    """The id of the event that a frame is."""
    return next(parse_entries(line)).cursor


def places(placer: EntryIdAllocator, *some: bytes, now_s: int, alone: bool = False) -> list[str]:
    """The places that frames are given, as the publisher has them placed."""
    found: list[str] = []
    for these in some:
        lines = None if alone else parse_line_batch(these)
        if lines is None:
            found += [str(place) for place, _ in placer.assign_ids(parse_entries(these), now_s)]
        else:
            before, generation = placer.assign_line_ids(lines, now_s)
            found += [*(str(place) for place, _ in before), *lines.make_ids(generation)]
    return found
