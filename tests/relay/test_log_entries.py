"""Entries of a log's stream, made of what is read from files, and their ids."""

from collections.abc import Iterable, Sequence
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
from marianne_stream.relay.edge.relayed_log import make_entry_frames
from marianne_stream.relay.publish.log_entries import (
    EntryArguments,
    EntryIdAllocator,
    LineBatch,
    LogItem,
    make_items,
)
from marianne_stream.relay.schema import LogEntry, LogEntryId, parse_log_entry
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine, LogLineSplitter

READ_AT = "2026-11-24T03:00:00.000Z"

ODD_LINES = [
    b"",
    b'a "quoted" word \\',
    b'","line_number":7,"timestamp":"","initial":true}',
    b'id: l-1-00000000000000ab-7-1-00000000000000cd\\n\\nevent: log\\ndata: {"line":"x"}',
    "é✓ 🎼 \u2028 \x85 \x00 \x1b[31m".encode(),
    b"\xff no UTF-8",
    b"ends as DOS does\r",
    b"x" * 65_536,
]

GAP = LogGap("truncated", 5)
ROTATION = LogRotation("marianne.log", "renamed")


def make_result(
    lines: Iterable[LogLine], *, first: int = 0xAB, is_conductor_log: bool = False, **changes: Any
) -> ReadResult:
    """Return a read result whose end position is not used."""
    end = cast("Any", None)
    return ReadResult(
        list(lines), 0x24200C, first, end, is_conductor_log=is_conductor_log, **changes
    )


def split_lines(*texts: bytes, offset: int = 0, number: int = 0) -> list[LogLine]:
    """Return texts as the lines of a file, from an offset on."""
    splitter = LogLineSplitter(offset=offset, number=number, window=b"")
    return splitter.feed(b"".join(text + b"\n" for text in texts))


def assign_ids(
    allocator: EntryIdAllocator, *results: ReadResult, redis_time_s: int = 1000
) -> list[EntryArguments]:
    items = [make_items(result, READ_AT) for result in results]
    return [entry for some in items for entry in allocator.assign_ids(some, redis_time_s)]


def expand(entries: Iterable[EntryArguments]) -> list[tuple[str, LogEntry]]:
    """Return entries one by one as an edge reads them, with their ids."""
    found = []
    for ids, fields in entries:
        rows = len(ids) if isinstance(ids, tuple) else 1
        for row in range(rows):
            values = [value[row] if isinstance(value, tuple) else value for value in (ids, *fields)]
            encoded = [v if isinstance(v, bytes) else v.encode() for v in values]
            as_read = dict(zip(encoded[1::2], encoded[2::2], strict=True))
            found.append((encoded[0].decode(), parse_log_entry(as_read)))
    return found


def published_ids(entries: Iterable[EntryArguments]) -> list[str]:
    return [entry_id for entry_id, _ in expand(entries)]


LEVELS = st.sampled_from(
    [b"[error] a", b"2026-11-28T05:00:00Z [info] job.submitted job_id=a", b'{"level": 30}']
)


@given(
    texts=st.lists(st.one_of(st.binary(max_size=40), LEVELS), min_size=1, max_size=8),
    is_initial=st.booleans(),
    is_conductor_log=st.booleans(),
)
def test_lines_on_an_edge_are_the_origins_frames(
    *, texts: list[bytes], is_initial: bool, is_conductor_log: bool
) -> None:
    assert_frames_agree(
        split_lines(*texts), is_initial=is_initial, is_conductor_log=is_conductor_log
    )


def assert_frames_agree(
    lines: Sequence[LogLine], *, is_initial: bool = False, is_conductor_log: bool = False
) -> list[tuple[str, LogEntry]]:
    """Check that an edge makes the same frames of published lines as the origin does."""
    result = make_result(lines, is_conductor_log=is_conductor_log, gap=GAP, rotation=ROTATION)
    published = expand(assign_ids(EntryIdAllocator(None), result))
    assert [entry_id for entry_id, _ in published] == [f"1000-{2 * line.end}" for line in lines]
    frames = make_line_frames(result, lines, timestamp=READ_AT, is_initial=is_initial)
    assert make_entry_frames((e for _, e in published), is_initial=is_initial) == b"".join(frames)
    return published


def test_odd_lines_are_one_entry_each() -> None:
    assert len(assert_frames_agree(split_lines(*ODD_LINES))) == len(ODD_LINES)


def test_truncated_lines_are_marked_as_such() -> None:
    published = assert_frames_agree(split_lines(b"one", b"x" * 65_537, b"three"))
    assert [entry.is_truncated for _, entry in published] == [False, True, False]


def test_line_without_newline_stays_with_the_others() -> None:
    splitter = LogLineSplitter(offset=0, number=0, window=b"")
    lines = splitter.feed(b"one\ntwo")
    last = splitter.flush()
    assert last is not None
    assert [entry.number for _, entry in assert_frames_agree([*lines, last])] == [1, 2]


def test_lines_of_one_read_are_one_batch() -> None:
    (batch,) = make_items(make_result(split_lines(b"one", b"two")), READ_AT)
    assert isinstance(batch, LineBatch)
    assert len(batch.offsets) == 2


def test_marks_have_the_data_of_the_origins_frames() -> None:
    items = make_items(make_result([], gap=GAP, rotation=ROTATION), READ_AT)
    entries = [item for item in items if isinstance(item, LogEntry)]
    frames = make_log_gap_frame(GAP) + make_rotated_frame(ROTATION)
    assert make_entry_frames(entries) == frames


def test_marks_come_before_the_lines_that_follow_them() -> None:
    allocator = EntryIdAllocator(LogEntryId(7, 50), 0xAB)
    assert assign_ids(allocator, make_result([], gap=GAP)) == []
    found = assign_ids(allocator, make_result(split_lines(b"one", b"two"), first=0xCD))
    assert [(entry_id, entry.mark) for entry_id, entry in expand(found)] == [
        ("1000-0", "log_gap"),
        ("1000-8", ""),
        ("1000-16", ""),
    ]


def test_lines_that_come_again_begin_a_new_generation() -> None:
    result = make_result(split_lines(b"one", b"two"))
    allocator = EntryIdAllocator(None)
    assert published_ids(assign_ids(allocator, result)) == ["1000-8", "1000-16"]
    assert published_ids(assign_ids(allocator, result)) == ["1001-8", "1001-16"]


def test_lines_of_another_file_begin_a_new_generation() -> None:
    one = make_result(split_lines(b"one"))
    two = make_result(split_lines(b"two", offset=4, number=1), first=0xCD)
    allocator = EntryIdAllocator(None)
    assert published_ids(assign_ids(allocator, one, two)) == ["1000-8", "1001-16"]


def test_position_and_completion_share_the_generation_of_the_lines() -> None:
    line = split_lines(b"one")[0]
    cursor = LogCursor(0x24200C, 0xAB, 4, 1, line.window_hash)
    start, end = LogCursor(0x24200C, 0xAB, 0, 0, 7), cursor.as_complete(follow=True)
    allocator = EntryIdAllocator(None)
    items: list[LogItem] = [
        LogEntry(str(start)),
        *make_items(make_result([line]), READ_AT),
        LogEntry(str(end), mark="log_complete", data=b"{}"),
    ]
    assert published_ids(allocator.assign_ids(items, 1000)) == ["1000-0", "1000-8", "1000-9"]
    assert allocator.generation == 1000


@pytest.mark.parametrize("is_together", [True, False], ids=["together", "one by one"])
def test_new_generation_is_above_all_earlier_ones(*, is_together: bool) -> None:
    lines = split_lines(b"two", b"three")
    parts = [lines] if is_together else [[line] for line in lines]
    follows = [make_result(part, first=0xCD) for part in parts]
    # The clock of a promoted replica may be behind, and its stream shorter.
    allocator = EntryIdAllocator(LogEntryId(1000, 4), 0xAB, highest_generation=3000)
    marks = [make_result([], gap=GAP), make_result([], rotation=ROTATION)]
    found = assign_ids(allocator, *marks, *follows, redis_time_s=2000)
    assert published_ids(found) == ["3001-0", "3002-0", "3002-8", "3002-20"]
