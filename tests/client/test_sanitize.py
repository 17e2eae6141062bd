"""Tests that untrusted text cannot control a terminal."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.client.sanitize import (
    encode_json_line,
    strip_all_but_colours,
    strip_controls,
    strip_to_lines,
    strip_to_one_line,
)

CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
COLOUR = re.compile(r"\x1b\[[0-9;:]*m")

# Characters of escape sequences, and some others.
TEXT = st.text(st.sampled_from("\x1b\x9b\x9d[]P\\m;:0123?Jh\x07\t\r\n\x00\x7fé字 ax"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 字\twith a tab", "plain é 字\twith a tab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x1b]0;a new title\x07text", "text"),
        ("\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$qm\x1b\\answer", "answer"),
        ("\x1b]52;c;never ended", ""),
        ("\x9b31mred in one byte", "red in one byte"),
        ("\x1b(0\x1bcreset", "reset"),
        ("10%\r20%", "10%␍20%"),
        ("bell\x07 delete\x7f", "bell␇ delete␡"),
        ("\u202eturned", "�turned"),
        ("\u061c\u200e\u200fturned", "���turned"),
        ("\x1b\x1b[31m[2J", "␛[2J"),
    ],
)
def test_strip_controls_removes_sequences_and_shows_pictures(text: str, shown: str) -> None:
    assert strip_controls(text) == shown


def test_strip_all_but_colours_resets_at_end_of_line() -> None:
    assert strip_all_but_colours("\x1b[1;31mred\x1b[2J") == "\x1b[1;31mred\x1b[0m"
    assert strip_all_but_colours("\x9b38:5:1mred") == "\x1b[38:5:1mred\x1b[0m"
    assert strip_all_but_colours("\x1b[2Jplain") == "plain"


@pytest.mark.parametrize(
    ("sequence", "kept"),
    [
        ("8", ""),
        ("08", ""),
        ("8:1", ""),
        ("31;8;1", "\x1b[31;1m"),
        ("38;5;8", "\x1b[38;5;8m"),
        ("48;2;8;8;8;8", "\x1b[48;2;8;8;8m"),
        ("38:5:8;8", "\x1b[38:5:8m"),
        ("1;38;8;8", "\x1b[1m"),
        ("38", ""),
        ("38;5;1;8", "\x1b[38;5;1m"),
        ("", "\x1b[m"),
        ("0;8", "\x1b[0m"),
    ],
)
def test_conceal_parameter_is_removed(sequence: str, kept: str) -> None:
    assert strip_all_but_colours(f"\x1b[{sequence}mtext").removesuffix("\x1b[0m") == f"{kept}text"


def test_strip_to_one_line_replaces_newlines_and_tabs() -> None:
    assert strip_to_one_line("two\r\nlines\tand a tab") == "two lines and a tab"


@given(TEXT)
def test_sanitized_text_contains_no_controls(text: str) -> None:
    assert not CONTROLS.search(strip_controls(text))
    assert not CONTROLS.search(COLOUR.sub("", strip_all_but_colours(text)))


@given(st.text())
def test_json_line_round_trips_without_controls(text: str) -> None:
    line = encode_json_line({"text": text})
    assert not CONTROLS.search(line)
    assert json.loads(line) == {"text": text}


def test_json_line_escapes_lone_surrogate() -> None:
    assert encode_json_line({"text": "\ud800"}).encode() == b'{"text":"\\ud800"}'


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one\r\ntwo\n", ["one", "two"]),
        ("10%\r20%\r100%\ndone", ["100%", "done"]),
        ("\x1b[2K10%\x1b[2K\x1b[31m20%\x1b[0m", ["20%"]),
        ("a\x0bb\x0cc\x85d\u2028e", ["a␋b␌c�d�e"]),
        ("", [""]),
        ("\n\n", ["", ""]),
        ("\ud800", ["?"]),
    ],
)
def test_lines_are_those_that_a_terminal_finally_shows(text: str, lines: list[str]) -> None:
    assert strip_to_lines(text) == lines
