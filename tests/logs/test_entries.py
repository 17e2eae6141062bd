"""Tests of log entries and of filters applied to them."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.logs.entries import (
    MAX_ENTRY_BYTES,
    MAX_ENTRY_LINES,
    BlockEntries,
    EntryMatcher,
    entry_state_after,
)
from marianne_stream.logs.filters import (
    AllFilters,
    LevelFilter,
    LineFilter,
    RegexFilter,
    TextFilter,
)

LINES = st.lists(
    st.sampled_from(
        [
            *(b"[error] a", b"[info] b", b"2026-11-28 05:00:00 a", b"a", b"b", b"", b"  File x"),
            *(b'{"level": "error"}', b"ValueError: a", b"x" * 30_000, b"y" * 66_000, b"\0a"),
        ]
    ),
    max_size=30,
)
FILTERS: list[LineFilter] = [
    TextFilter("a"),
    LevelFilter("error"),
    RegexFilter("^(b|  File)"),
    AllFilters((LevelFilter("error"), TextFilter("ValueError"))),
    AllFilters((TextFilter("a"), RegexFilter("File"))),
]


def match_in_order(line_filter: LineFilter, lines: Sequence[bytes]) -> list[bool]:
    """Match lines one after the other."""
    matcher = EntryMatcher(line_filter)
    return [matcher.matches(line.lstrip(b"\0")) for line in lines]


@pytest.mark.parametrize("line_filter", FILTERS, ids=repr)
@given(lines=LINES, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_block_entries_split_anywhere_equal_line_matching(
    line_filter: LineFilter, lines: list[bytes], cuts: list[int]
) -> None:
    found: list[bool] = []
    edges = sorted({0, *(cut for cut in cuts if cut < len(lines)), len(lines)})
    for start, end in pairwise(edges):
        block = b"".join(line + b"\n" for line in lines[start:end])
        above = [line.lstrip(b"\0")[:65_536] for line in lines[:start]]
        entries = BlockEntries(block, range(end - start), partial(list, above))
        selected, matches = entries.match(line_filter)
        assert matches <= set(selected)
        found += [index in selected for index in range(end - start)]
    assert found == match_in_order(line_filter, [line[:65_536] for line in lines])


@given(lines=LINES, line_filter=st.sampled_from(FILTERS))
def test_matcher_resumed_from_state_passes_same_lines(
    lines: list[bytes], line_filter: LineFilter
) -> None:
    whole = EntryMatcher(line_filter)
    for index, line in enumerate(lines):
        resumed = EntryMatcher(line_filter, entry_state_after(line_filter, lines[:index]))
        assert resumed.state == whole.state
        assert resumed.matches(line) == whole.matches(line)


def test_level_filter_passes_traceback_below_line() -> None:
    lines = [b"[info] x", b"[error] y", b"Traceback:", b"  File z", b"ValueError", b"[info] x", b""]
    assert match_in_order(LevelFilter("error"), lines) == [
        False,
        True,
        True,
        True,
        True,
        False,
        False,
    ]


def test_lines_without_entry_start_stand_alone() -> None:
    assert match_in_order(TextFilter("a"), [b"a", b"b", b"a", b"b"]) == [True, False, True, False]


def test_entry_ends_at_limits() -> None:
    many = [b"[error] a", *[b"x"] * (MAX_ENTRY_LINES + 50)]
    assert sum(match_in_order(LevelFilter("error"), many)) == MAX_ENTRY_LINES
    large = [b"[error] a", *[b"x" * 1000] * 100]
    assert sum(match_in_order(LevelFilter("error"), large)) == 1 + MAX_ENTRY_BYTES // 1001
