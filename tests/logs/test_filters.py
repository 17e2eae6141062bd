"""Tests of line filters, on single lines and on blocks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.errors import BadParameterError, PatternTooComplexError
from marianne_stream.logs.filters import (
    AllFilters,
    JobFilter,
    LevelFilter,
    LineFilter,
    RegexFilter,
    TextFilter,
)
from marianne_stream.logs.log_file import BLOCK_BYTES
from marianne_stream.wire.log_lines import render_line

PIECES = st.sampled_from(
    [
        *(b"a", b"b", b"ERROR", b"[info]", b"\r", b"\0", b"\xff", "é".encode(), b" ", b"WARN"),
        *(
            b"\x1b[1m",
            b"\x1b]0;a\x07",
            b"\\u0061",
            b'\\"',
            b"\\n",
            b"\\",
            b'{"level": 50, "x": "\\',
        ),
        *(b'{"job_id": "a", "level": "debug"}', b'{"extra": {"job_id": "a"}}', b'{"job_id": "b"'),
    ]
)
LINES = st.lists(st.lists(PIECES, max_size=5).map(b"".join), max_size=20)
FILTERS: list[LineFilter] = [
    TextFilter("a"),
    TextFilter(""),
    RegexFilter("a.*b"),
    RegexFilter("^$"),
    RegexFilter("[^x]$"),
    RegexFilter("(?i)error|é"),
    RegexFilter(r"a\s*b"),
    RegexFilter(r"\ba"),
    RegexFilter("a$"),
    LevelFilter("debug"),
    LevelFilter("warning"),
    JobFilter("a"),
    AllFilters((TextFilter("a"), LevelFilter("debug"))),
]


@pytest.mark.parametrize("line_filter", FILTERS, ids=repr)
@given(lines=LINES, end=st.sampled_from([b"\n", b"\r\n"]), open_end=st.booleans())
def test_find_matches_equals_line_by_line_matching(
    *, line_filter: LineFilter, lines: list[bytes], end: bytes, open_end: bool
) -> None:
    block = b"".join(line + end for line in lines)
    given_lines = [render_line(line) for line in block.split(b"\n")[:-1]]
    if open_end:
        block += b"rest a ERROR b"
        given_lines.append(b"rest a ERROR b")
    expected = [index for index, line in enumerate(given_lines) if line_filter.matches(line)]
    assert line_filter.find_matches(block) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sheet 7", b"sheet \x1b[1m7\x1b[0m begins"),
        ("café", b'{"event": "caf\\u00e9"}'),
        ("\U0001f3bc", b'{"event": "\\ud83c\\udfbc"}'),
        ('says "no"', b'{"event": "says \\"no\\""}'),
        ("\\u00e9", b'{"event": "caf\\u00e9"}'),
        ("one two", b'{"event": "one\\ntwo"}'),
        (r"C:\new", rb'{"path": "C:\\new"}'),
        (r"C:\new", rb"C:\new"),
        ("ab", b"a\x1b]8;;http://x\x1b\\b"),
    ],
)
def test_text_filter_searches_displayed_line(text: str, line: bytes) -> None:
    assert TextFilter(text).matches(line)
    assert RegexFilter(re.escape(text)).matches(line)
    assert TextFilter(text).find_matches(b"x\n" + line + b"\nx\n") == [1]


@pytest.mark.parametrize(
    ("text", "line"), [("31m", b"\x1b[31mred"), ("http", b"a\x1b]8;;http://x\x1b\\b")]
)
def test_text_filter_ignores_escape_sequences(text: str, line: bytes) -> None:
    assert not TextFilter(text).matches(line)
    assert TextFilter(text).find_matches(line + b"\n") == []


def test_regex_filter_ignores_nuls_and_bom() -> None:
    block = b"\xef\xbb\xbffirst\n" + b"\0" * 70_000 + b"second\n"
    assert RegexFilter("^(first|second)$").find_matches(block) == [0, 1]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "missing ): (: got '('"),
        ("a)|(b", "unexpected )"),
        (r"(a)\1", "invalid escape sequence"),
        ("(?=a)", "invalid perl operator"),
        (r"\Aa", "is not supported"),
        ("a" * 1001, "at most 1000 characters"),
        ("((a{100}){100}){100}", "invalid repetition size"),
    ],
)
def test_invalid_regex_is_rejected_with_reason(pattern: str, words: str) -> None:
    with pytest.raises(BadParameterError) as caught:
        RegexFilter(pattern)
    assert words in caught.value.detail
    assert len(caught.value.detail) < 300


# On a live stream, the first of these patterns once blocked a server for six seconds.
ALTERNATIVES = "|".join(f".{{{count}}}~" for count in range(200, 300))[:995].rpartition("|")[0]


@pytest.mark.parametrize(
    "pattern", [ALTERNATIVES, ".{200}~|.{201}~|.{202}~", r"\pL{100}~", r"(?i)[\pL\pN\pM]{300}"]
)
def test_regex_with_large_program_is_too_complex(pattern: str) -> None:
    with pytest.raises(PatternTooComplexError) as caught:
        RegexFilter(pattern)
    assert "more than 4000 instructions" in caught.value.detail


@pytest.mark.parametrize(
    "pattern", [r"sheet (3|4)", r"(?i)time.?out|\d{1,40} s$", ".{200}~|.{201}~"]
)
def test_regex_with_small_program_is_accepted(pattern: str) -> None:
    assert RegexFilter(pattern).piece_bytes <= BLOCK_BYTES


@pytest.mark.parametrize(
    ("line", "passes"),
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
def test_job_filter_passes_lines_that_name_the_job(line: bytes, *, passes: bool) -> None:
    assert JobFilter("moo").matches(line) is passes
