"""Entries: a line that is wanted, and the lines below that belong to it."""

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


def forwards(only: LineFilter, lines: Sequence[bytes]) -> list[bool]:
    chosen = EntryMatcher(only)
    return [chosen.matches(line.lstrip(b"\0")) for line in lines]


@pytest.mark.parametrize("only", FILTERS, ids=repr)
@given(lines=LINES, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_blocks_cut_anywhere_give_the_same_entries(
    only: LineFilter, lines: list[bytes], cuts: list[int]
) -> None:
    found: list[bool] = []
    places = sorted({0, *(cut for cut in cuts if cut < len(lines)), len(lines)})
    for start, end in pairwise(places):
        block = b"".join(line + b"\n" for line in lines[start:end])
        above = [line.lstrip(b"\0")[:65_536] for line in lines[:start]]
        entries = BlockEntries(block, range(end - start), partial(list, above))
        wanted, matches = entries.match(only)
        assert matches <= set(wanted)
        found += [place in wanted for place in range(end - start)]
    assert found == forwards(only, [line[:65_536] for line in lines])


@given(lines=LINES, only=st.sampled_from(FILTERS))
def test_a_filter_that_goes_on_from_a_state_passes_the_same(
    lines: list[bytes], only: LineFilter
) -> None:
    whole = EntryMatcher(only)
    for place, line in enumerate(lines):
        resumed = EntryMatcher(only, entry_state_after(only, lines[:place]))
        assert resumed.state == whole.state
        assert resumed.matches(line) == whole.matches(line)


def test_a_level_keeps_the_traceback_below_its_line() -> None:
    lines = [b"[info] x", b"[error] y", b"Traceback:", b"  File z", b"ValueError", b"[info] x", b""]
    assert forwards(LevelFilter("error"), lines) == [False, True, True, True, True, False, False]


def test_lines_without_a_level_or_a_time_above_them_stand_alone() -> None:
    assert forwards(TextFilter("a"), [b"a", b"b", b"a", b"b"]) == [True, False, True, False]


def test_an_entry_ends_at_its_bounds() -> None:
    many = [b"[error] a", *[b"x"] * (MAX_ENTRY_LINES + 50)]
    assert sum(forwards(LevelFilter("error"), many)) == MAX_ENTRY_LINES
    large = [b"[error] a", *[b"x" * 1000] * 100]
    assert sum(forwards(LevelFilter("error"), large)) == 1 + MAX_ENTRY_BYTES // 1001
