"""Tests of standard output: colours, widths, closed pipes."""

import io
import os

import pytest

from marianne_stream.client.output import Output, pad, truncate_middle
from tests.support.screens import Screen


@pytest.mark.parametrize(
    ("colour", "environment", "coloured", "animated"),
    [
        ("auto", {"TERM": "xterm"}, True, True),
        ("auto", {"TERM": "xterm", "NO_COLOR": "1"}, False, True),
        ("auto", {"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ("auto", {"TERM": "dumb"}, False, False),
        ("auto", {}, False, False),
        ("always", {"TERM": "dumb", "NO_COLOR": "1"}, True, False),
        ("never", {"TERM": "xterm"}, False, True),
    ],
)
def test_terminal_colours_depend_on_option_and_environment(
    colour: str,
    environment: dict[str, str],
    coloured: bool,  # noqa: FBT001
    animated: bool,  # noqa: FBT001
) -> None:
    output = Output(Screen(), colour=colour, environ=environment)
    assert (output.has_colours, output.can_redraw) == (coloured, animated)


def test_pipe_has_colours_only_with_option_always() -> None:
    assert not Output(io.StringIO(), environ={"TERM": "xterm"}).has_colours
    stream = io.StringIO()
    Output(stream, colour="always", environ={}).console.print("x", style="status.failed")
    assert "\x1b[1;31mx" in stream.getvalue()


def test_pipe_does_not_wrap_lines() -> None:
    stream = io.StringIO()
    Output(stream, environ={}).console.print("x " * 1000, soft_wrap=True)
    assert stream.getvalue().count("\n") == 1


def test_pad_counts_wide_characters_as_two_columns() -> None:
    assert pad("字", 4) == "字  "
    assert pad("abcde", 4) == "abcde"


def test_closed_pipe_raises_for_lines_and_tables() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    # Unbuffered: nothing is left to write when the stream is closed.
    with io.TextIOWrapper(os.fdopen(writer, "wb", 0), write_through=True) as stream:
        output = Output(stream, environ={})
        with pytest.raises(BrokenPipeError):
            output.write(["a"])
        with pytest.raises(BrokenPipeError):
            output.console.print("a")


@pytest.mark.parametrize(
    ("text", "columns", "cut"),
    [
        ("nightly", 7, "nightly"),
        ("nightly-build-2026-11-28", 15, "nightly…6-11-28"),
        ("nightly", 6, "nig…ly"),
        ("nightly", 1, "…"),
        ("苔の庭に水をまく", 8, "苔の…く"),
        ("", 3, ""),
    ],
)
def test_truncate_middle_keeps_both_ends(text: str, columns: int, cut: str) -> None:
    assert truncate_middle(text, columns) == cut
