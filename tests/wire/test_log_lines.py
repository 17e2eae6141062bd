"""Tests of the splitter of log lines: results do not depend on chunks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.wire.cursors import HASH_WINDOW_BYTES, LogCursor, content_hash
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, LogLine, LogLineSplitter

TEXT = st.lists(
    st.sampled_from(
        [
            *(b"\n", b"\r\n", b"\r", b"a", b"\xff", "é✓".encode(), b"\0", b"x" * 3000),
            *(b"\x1b[2K", b"\x1b[1G", b"\x1b[G", b"\x1b[", b"\x1b[2", b"K", b"\x1b[31m"),
        ]
    ),
    max_size=40,
).map(b"".join)
CUTS = st.lists(st.integers(1, 5000), max_size=30)


def displayed_text(line: bytes) -> bytes:
    """Return the displayed text: the last part behind a return sequence that is not empty."""
    shown = b""
    for part in re.split(rb"\r|\x1b\[2K|\x1b\[1G|\x1b\[G", line):
        shown = part.lstrip(b"\0") or shown
    return shown


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    """Cut a text into pieces."""
    found = []
    for cut in cuts:
        found.append(text[:cut])
        text = text[cut:]
    return [*found, text]


def split_lines(text: bytes, cuts: list[int]) -> list[LogLine]:
    """Return the lines of a text that is fed in pieces."""
    splitter = LogLineSplitter(offset=0, number=0, window=b"")
    lines = [line for piece in pieces(text, cuts) for line in splitter.feed(piece)]
    last = splitter.flush()
    return lines if last is None else [*lines, last]


@given(text=TEXT, cuts=CUTS)
def test_log_lines_do_not_depend_on_chunks(text: bytes, cuts: list[int]) -> None:
    lines = split_lines(text, cuts)
    assert lines == split_lines(text, [])
    whole = text.split(b"\n")
    # A hole at the end is not a line.
    rest = [line for line in whole[-1:] if line.strip(b"\0")]
    expected = [displayed_text(line) for line in (*whole[:-1], *rest)]
    assert [line.text for line in lines] == expected
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))


@given(text=TEXT, cuts=CUTS, data=st.data())
def test_splitter_resumed_at_any_line_gives_the_rest(
    text: bytes, cuts: list[int], data: st.DataObject
) -> None:
    lines = split_lines(text, [])
    seen = data.draw(st.integers(0, len(lines)))
    offset = lines[seen - 1].end if seen else 0
    window = text[max(0, offset - HASH_WINDOW_BYTES) : offset]
    splitter = LogLineSplitter(offset=offset, number=seen, window=window)
    rest = [line for piece in pieces(text[offset:], cuts) for line in splitter.feed(piece)]
    last = splitter.flush()
    assert [*rest, *([last] if last is not None else [])] == lines[seen:]


@given(text=TEXT)
def test_window_hash_covers_bytes_before_line_end(text: bytes) -> None:
    for line in split_lines(text, [7]):
        assert line.window_hash == content_hash(
            text[max(0, line.end - HASH_WINDOW_BYTES) : line.end]
        )


def test_long_line_is_truncated_between_characters() -> None:
    text = b"a" + "é".encode() * LINE_LIMIT_BYTES + b"\nnext\n"
    for cuts in ([], [1000] * 200):
        long, following = split_lines(text, cuts)
        assert long.truncated
        assert long.display_text == "a" + "é" * (LINE_LIMIT_BYTES // 2 - 1)
        assert (following.text, following.number, following.end) == (b"next", 2, len(text))


@pytest.mark.parametrize("cuts", [[], [1] * 300_000, [65_537] * 10, [3] * 100_000])
def test_long_overwritten_line_shows_its_end_state(cuts: list[int]) -> None:
    bar = b"".join(b"\r%d %%" % percent for percent in range(101))
    for text in (
        b"x" * 200_000 + bar,
        b"x" * 200_000 + b"\x1b[2K\x1b[1Gdone",
        b"\0" * 99_999 + b"y",
    ):
        (line,) = split_lines(text + b"\n", cuts)
        assert (line.text, line.truncated) == (displayed_text(text), False)


def test_line_of_exactly_the_limit_is_not_truncated() -> None:
    (line,) = split_lines(b"x" * LINE_LIMIT_BYTES + b"\r\n", [])
    assert (len(line.text), line.truncated) == (LINE_LIMIT_BYTES, False)


@pytest.mark.parametrize("cuts", [[], [1000] * 100])
def test_bom_of_long_first_line_is_removed(cuts: list[int]) -> None:
    (line,) = split_lines(b"\xef\xbb\xbf" + b"x" * (LINE_LIMIT_BYTES - 2) + b"\n", cuts)
    assert (len(line.text), line.truncated) == (LINE_LIMIT_BYTES - 3, True)


def test_nul_hole_and_bom_add_no_line() -> None:
    text = b"\xef\xbb\xbffirst\n" + b"\0" * 70_000 + b"second\n" + b"\0" * 200_000
    for cuts in ([], [3, 4, 5, 65_536], [1000] * 300):
        lines = split_lines(text, cuts)
        assert [(line.text, line.number, line.truncated) for line in lines] == [
            (b"first", 1, False),
            (b"second", 2, False),
        ]
        assert lines[1].end == 9 + 70_000 + 7


@given(
    st.builds(
        LogCursor,
        inode=st.integers(0, 2**64 - 1),
        first_line_hash=st.integers(0, 2**64 - 1),
        offset=st.integers(0, 10**17),
        number=st.integers(0, 10**17),
        window_hash=st.integers(0, 2**64 - 1),
        unterminated=st.booleans(),
        kind=st.sampled_from(["l", "c", "x"]),
    ).filter(lambda cursor: cursor.number > 0 or not cursor.unterminated)
)
def test_log_cursor_round_trips(cursor: LogCursor) -> None:
    assert LogCursor.parse(str(cursor)) == cursor
    assert LogCursor.parse(str(cursor) + "0" * 40) is None
