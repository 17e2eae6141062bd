"""Standard output: its capabilities, and writing to it."""

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from rich.theme import Theme

from marianne_stream.client.sanitize import (
    encode_json_line,
    strip_all_but_colours,
    strip_controls,
)

COLOUR_CHOICES = ("auto", "always", "never")

# Width of output to a pipe or file: lines are never cut.
PIPE_COLUMNS = 1_000_000

ELLIPSIS = "…"

STYLES = {
    "status.running": "cyan",
    "status.completed": "green",
    "status.failed": "bold red",
    "status.cancelled": "yellow",
    "status.paused": "magenta",
    "status.paused_at_chain": "magenta",
    "status.queued": "dim",
    "status.pending": "dim",
    "level.debug": "dim",
    "level.info": "cyan",
    "level.warning": "bold yellow",
    "level.error": "bold red",
    "level.critical": "bold red reverse",
    "quiet": "dim",
    "fault": "red",
}


class PipeAwareConsole(Console):
    """Console that raises BrokenPipeError, where rich would end the process."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError again."""
        raise BrokenPipeError


class Output:
    """Standard output.

    `colour` is `always`, `never`, or `auto` for a terminal with colours. The environment has
    NO_COLOR (no-color.org) and TERM. A terminal `can_redraw` if it can overwrite lines. Untrusted
    lines go through `sanitize`, which keeps colours if the output has colours.
    """

    def __init__(
        self,
        stream: TextIO = sys.stdout,
        *,
        colour: str = "auto",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._stream = stream
        self.is_terminal = is_terminal = stream.isatty()
        is_smart = is_terminal and environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
        self.can_redraw = is_smart
        self.has_colours = colour == "always" or (
            colour == "auto" and is_smart and not environ.get("NO_COLOR")
        )
        self.sanitize = strip_all_but_colours if self.has_colours else strip_controls
        self.console = PipeAwareConsole(
            file=stream,
            theme=Theme(STYLES, inherit=False),
            force_terminal=is_smart,
            no_color=not self.has_colours,
            color_system="auto" if is_smart else ("standard" if self.has_colours else None),
            width=None if is_terminal else PIPE_COLUMNS,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def write(self, lines: Iterable[str]) -> None:
        """Write lines and flush. Blocks the event loop while the reader is slow.

        Raises:
            BrokenPipeError: the reader has closed the pipe.
        """
        self._stream.write("".join(line + "\n" for line in lines))
        self._stream.flush()

    def write_bytes(self, data: bytes) -> None:
        """Write bytes to a pipe or file, and flush; raises as `write` does."""
        self._stream.buffer.write(data)
        self._stream.flush()

    def write_text(self, text: str) -> None:
        """Write text without a newline, and flush; raises as `write` does."""
        self._stream.write(text)
        self._stream.flush()

    def write_objects(self, values: Iterable[dict[str, Any]]) -> None:
        """Write each value as one line of JSON; raises as `write` does."""
        self.write(encode_json_line(value) for value in values)


def truncate_line(line: Text, columns: int) -> Text:
    """Cut a line to a width, and mark the cut."""
    line.truncate(columns, overflow="ellipsis")
    return line


def truncate_middle(text: str, columns: int) -> str:
    """Cut a text in its middle to a width on the terminal.

    The ends of a name distinguish it from its neighbours: `nightly-…-2026-11-28`. A character may
    take two columns.
    """
    if cell_len(text) <= columns:
        return text
    end = (columns - 1) // 2
    start = columns - 1 - end
    return f"{truncate_end(text, start)}{ELLIPSIS}{truncate_end(text[::-1], end)[::-1]}"


def truncate_end(text: str, columns: int) -> str:
    """Return the first characters of a text that fit into a width."""
    width = 0
    for index, character in enumerate(text):
        width += cell_len(character)
        if width > columns:
            return text[:index]
    return text


def pad(text: str, columns: int) -> str:
    """Pad a text with blanks to a width on the terminal."""
    return text + " " * (columns - cell_len(text))


def status_style(status: str) -> str:
    """Return the name of a status's style; "" for an unknown status."""
    name = f"status.{status}"
    return name if name in STYLES else ""
