"""What an output can show."""

import io
import os

import pytest

from marianne_stream.client.output import Output, pad, truncate_middle


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


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
def test_a_terminal_is_coloured_as_it_and_its_user_want(
    colour: str,
    environment: dict[str, str],
    coloured: bool,  # noqa: FBT001
    animated: bool,  # noqa: FBT001
) -> None:
    output = Output(Screen(), colour=colour, environ=environment)
    assert (output.has_colours, output.can_redraw) == (coloured, animated)


def test_a_pipe_has_colours_where_they_are_asked_for_only() -> None:
    assert not Output(io.StringIO(), environ={"TERM": "xterm"}).has_colours
    stream = io.StringIO()
    Output(stream, colour="always", environ={}).console.print("x", style="status.failed")
    assert "\x1b[1;31mx" in stream.getvalue()


def test_a_line_is_never_broken_in_a_pipe() -> None:
    stream = io.StringIO()
    Output(stream, environ={}).console.print("x " * 1000, soft_wrap=True)
    assert stream.getvalue().count("\n") == 1


def test_wide_characters_count_as_what_they_take() -> None:
    assert pad("字", 4) == "字  "
    assert pad("abcde", 4) == "abcde"


def test_that_nobody_reads_is_passed_on_by_tables_as_by_lines() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    # Unbuffered, so that nothing is left to be written when it is closed.
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
def test_text_that_is_too_wide_is_cut_in_its_middle(text: str, columns: int, cut: str) -> None:
    assert truncate_middle(text, columns) == cut
