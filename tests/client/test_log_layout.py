"""Tests of the layout of log lines on a terminal."""

import json

import pytest
from rich.text import Text

from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.log_layout import lay_out
from marianne_stream.client.output import Output
from marianne_stream.wire.log_levels import parse_line_facts
from tests.support.screens import Screen


def show(
    line: str, *, columns: int = 80, label: Text | None = None, **environment: str
) -> tuple[str, str]:
    """Return the text of a line, and the same with its colours."""
    output = Output(Screen(), environ={"TERM": "xterm", **environment})
    output.console.width = columns
    facts = parse_line_facts(line)
    body = LogLineBody(line, level=facts.level or "", logged_at=facts.logged_at or "")
    text = lay_out(body, output, label)
    output.console.print(text, soft_wrap=True)
    screen = output.console.file
    assert isinstance(screen, Screen)
    return text.plain, screen.getvalue().removesuffix("\n")


@pytest.mark.parametrize(
    ("level", "colour"),
    [("debug", "2"), ("info", "36"), ("warning", "1;33"), ("error", "1;31"), ("FATAL", "1;7;31")],
)
def test_level_has_a_colour(level: str, colour: str) -> None:
    text, coloured = show(f"2026-11-24 03:00:00 [{level}] the tide is in")
    assert text == f"2026-11-24 03:00:00 [{level}] the tide is in"
    assert f"\x1b[{colour}m[{level}]\x1b[0m" in coloured


def test_error_colours_its_text_and_info_does_not() -> None:
    assert show("[error] the wind took it")[1].endswith("\x1b[31m the wind took it\x1b[0m")
    time = "2026-11-24 03:00:00"
    assert show(f"{time} [error] it is gone")[1].startswith(f"\x1b[2m{time}\x1b[0m\x1b[31m ")
    assert show("[info] all is well")[1].endswith("\x1b[0m all is well")


def test_error_in_json_colours_its_text_and_not_its_fields() -> None:
    fields = '"level":"error","event":"gone","n":1,"stack":"one\\ntwo"'
    assert show(f"{{{fields}}}")[1].split("\n") == [
        "\x1b[1;31m[error]\x1b[0m \x1b[31mgone\x1b[0m  \x1b[2mn=1\x1b[0m",
        "\x1b[2m  stack:\x1b[0m",
        *("\x1b[31m    one\x1b[0m", "\x1b[31m    two\x1b[0m"),
    ]


def test_line_with_colours_of_its_own_keeps_them() -> None:
    assert show("\x1b[32m[error]\x1b[0m x")[1] == "\x1b[32m[error]\x1b[0m x"


def test_no_color_removes_all_colours() -> None:
    text, coloured = show("\x1b[32mgreen\x1b[0m [error] x", NO_COLOR="1")
    assert coloured == text == "green [error] x"


def test_json_line_is_laid_out_as_text() -> None:
    fields = {
        "event": "écrit une page",
        "level": "warning",
        "timestamp": "2026-11-24T03:00:00Z",
        "sheet": 3,
        "extra": {"job_id": "a b", "nested": {"x": [1]}},
    }
    assert show(json.dumps(fields), columns=200)[0] == (
        '2026-11-24T03:00:00Z [warning] écrit une page  sheet=3 job_id="a b" nested={"x":[1]}'
    )


def test_traceback_in_json_is_shown_below() -> None:
    fields = {"msg": "it failed", "level": "error", "exc": "Traceback:\n  File x\nKeyError"}
    assert show(json.dumps(fields))[0].splitlines() == [
        *("[error] it failed", "  exc:", "    Traceback:", "      File x", "    KeyError"),
    ]


@pytest.mark.parametrize("line", ['{"event": "cut', '{"a": 1} and more', "{}x", "[1]"])
def test_other_line_is_shown_as_it_is(line: str) -> None:
    assert show(line)[0] == line


def test_json_without_message_level_or_time_keeps_its_fields() -> None:
    assert show('{"level": "loud", "n": 1}')[0] == "level=loud n=1"


def test_json_line_on_a_terminal_has_all_its_fields() -> None:
    fields = {
        "event": "deployed",
        "level": "info",
        "levelno": 20,
        "severity": "S1",
        "timestamp": "2026-11-24T03:00:00Z",
        "time": 12.5,
        "extra": {"event": "clicked", "level": "loud", "n": 1},
    }
    assert show(json.dumps(fields), columns=200)[0] == (
        "2026-11-24T03:00:00Z [info] deployed"
        "  severity=S1 time=12.5 extra.event=clicked extra.level=loud n=1"
    )
    assert show('{"msg": "x", "extra": [1]}')[0] == "x  extra=[1]"
    assert show('{"levelno": 30, "lvl": 40}')[0] == "[warning]  lvl=40"


def test_json_line_shows_numbers_as_they_were_written() -> None:
    numbers = '"cost":1e5,"price":1.10,"id":9007199254740993,"all":[{"x":0.1000000000000000055}]'
    shown, _ = show(f'{{"msg":"paid",{numbers},"ts":1795867200.250}}', columns=200)
    assert shown == (
        "2026-11-28T12:00:00.250Z paid"
        '  cost=1e5 price=1.10 id=9007199254740993 all=[{"x":0.1000000000000000055}]'
    )


def test_words_are_wrapped_with_an_indent() -> None:
    line = "the tide is at 3.2 m and rising, and the wind is from the west"
    assert show(line, columns=30)[0].splitlines() == [
        *("the tide is at 3.2 m and", "  rising, and the wind is from", "  the west"),
    ]
    assert show("x" * 70, columns=40)[0].splitlines() == ["x" * 38, "  " + "x" * 32]


def test_narrow_terminal_shortens_the_time() -> None:
    line = "[info] 2026-11-24T03:00:00.125+01:00 the tide is in"
    assert show(line, columns=60)[0] == line
    text, coloured = show(line, columns=50)
    assert text == "[info] 03:00:00 the tide is in"
    assert "\x1b[2m03:00:00\x1b[0m the" in coloured
    fields = {"msg": "it is in", "level": "info", "time": "2026-11-24T03:00:00Z"}
    assert show(json.dumps(fields), columns=50)[0] == "03:00:00 [info] it is in"


def test_label_is_repeated_as_blanks() -> None:
    label = Text("nightly | ")
    assert show("one two three four five", columns=22, label=label)[0].splitlines() == [
        *("nightly | one two", "            three four", "            five"),
    ]


def test_control_sequences_in_json_are_removed() -> None:
    evil = "\x1b]0;owned\x07\x1b[2Jred \x9b5n[bold]"
    text, coloured = show(json.dumps({"event": evil, evil: evil, "tb": f"a\n{evil}"}))
    assert "red [bold]" in text
    assert not any(bad in coloured for bad in ("owned", "\x1b[2J", "\x9b", "\x1b]"))
