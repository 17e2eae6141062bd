"""Filters: what they want of one line, and of a block of lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.errors import BadParameterError
from marianne_stream.logs.filters import (
    AllOf,
    AtLeast,
    Contains,
    LineFilter,
    Matches,
    OfJob,
    level_of,
)
from marianne_stream.wire.log_lines import end_state

PIECES = st.sampled_from(
    [
        *(b"a", b"b", b"ERROR", b"[info]", b"\r", b"\0", b"\xff", "é".encode(), b" ", b"WARN"),
        *(b'{"job_id": "a", "level": "debug"}', b'{"extra": {"job_id": "a"}}', b'{"job_id": "b"'),
    ]
)
LINES = st.lists(st.lists(PIECES, max_size=5).map(b"".join), max_size=20)
FILTERS: list[LineFilter] = [
    Contains("a"),
    Contains(""),
    Matches("a.*b"),
    Matches("^$"),
    Matches("[^x]$"),
    Matches("(?i)error|é"),
    Matches(r"a\s*b"),
    Matches(r"\ba"),
    Matches("a$"),
    AtLeast("debug"),
    AtLeast("warning"),
    OfJob("a"),
    AllOf((Contains("a"), AtLeast("debug"))),
]


@pytest.mark.parametrize("wanted", FILTERS, ids=repr)
@given(lines=LINES, end=st.sampled_from([b"\n", b"\r\n"]), open_end=st.booleans())
def test_a_block_gives_the_lines_that_are_wanted_alone(
    *, wanted: LineFilter, lines: list[bytes], end: bytes, open_end: bool
) -> None:
    block = b"".join(line + end for line in lines)
    given_lines = [end_state(line) for line in block.split(b"\n")[:-1]]
    if open_end:
        block += b"rest a ERROR b"
        given_lines.append(b"rest a ERROR b")
    expected = [place for place, line in enumerate(given_lines) if wanted.selects(line)]
    assert wanted.in_block(block) == expected


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (b"2026-11-23T19:24:13.157 [info] sheet 1 line 1", "info"),
        (b"WARNING:root:look out", "warning"),
        (b"2026-11-23 19:24:13,157 - name - ERROR - an INFO", "error"),
        (b"time=1 level=warn msg=x", "warning"),
        (b'{"event": "x ERROR", "level": "debug"}', "debug"),
        (b'{"event": "no level"}', None),
        (b"an error occurred", None),
        (b"MISINFORMATION", None),
        (b"CRITICAL failure", "error"),
        (b"", None),
    ],
)
def test_the_level_of_a_line_is_told_by_its_form(line: bytes, level: str | None) -> None:
    assert level_of(line) == level


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "missing ): (: got '('"),
        ("a)|(b", "unexpected )"),
        (r"(a)\1", "invalid escape sequence"),
        ("(?=a)", "invalid perl operator"),
        (r"\Aa", "is not taken"),
        ("a" * 1001, "at most 1000 characters"),
        ("((a{100}){100}){100}", "invalid repetition size"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused_with_the_reason(
    pattern: str, words: str
) -> None:
    with pytest.raises(BadParameterError) as refused:
        Matches(pattern)
    assert words in refused.value.detail
    assert len(refused.value.detail) < 300


@pytest.mark.parametrize(
    ("line", "selected"),
    [
        (b'{"job_id": "mo\\u006f", "event": "x"}', True),
        (b'{"event": "x", "extra": {"job_id": "moo"}}', True),
        (b'{"event": "moo job_id"}', False),
        (b'["moo", "job_id"]', False),
        (b"job_id moo", False),
        (b'{"job_id": "mo\xff"}', False),
        (b'{"job_id": ["moo"], "extra": 3}', False),
    ],
)
def test_a_line_is_a_jobs_where_it_says_so(line: bytes, *, selected: bool) -> None:
    assert OfJob("moo").selects(line) is selected
