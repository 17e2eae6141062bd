"""Tests of the line splitter."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.wire.lines import LineSplitter, LineTooLongError


def test_line_split_across_chunks_is_returned_once() -> None:
    splitter = LineSplitter(limit_bytes=100)
    assert splitter.feed(b"one\ntw") == [b"one"]
    assert splitter.pending_bytes == 2
    assert splitter.feed(b"o\n\n") == [b"two", b""]
    assert splitter.pending_bytes == 0


@pytest.mark.parametrize("pieces", [(b"12345\n",), (b"123", b"45"), (b"a\n12345",)])
def test_line_beyond_limit_fails(pieces: tuple[bytes, ...]) -> None:
    splitter = LineSplitter(limit_bytes=4)
    *before, last = pieces
    assert all(splitter.feed(piece) == [] for piece in before)
    with pytest.raises(LineTooLongError, match="longer than 4 bytes"):
        splitter.feed(last)


@given(st.lists(st.binary(max_size=30)), st.lists(st.integers(min_value=0, max_value=300)))
def test_lines_do_not_depend_on_chunks(lines: list[bytes], cuts: list[int]) -> None:
    data = b"\n".join(lines)
    splitter = LineSplitter(limit_bytes=10_000)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    got: list[bytes] = []
    for start, stop in pairwise(edges):
        got += splitter.feed(data[start:stop])
    assert got == data.split(b"\n")[:-1]
