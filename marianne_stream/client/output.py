"""Standard output: what it can show, and writing to it.

It must not know what is written.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.theme import Theme

from marianne_stream.client.sanitize import encode_json_line

COLOUR_CHOICES = ("auto", "always", "never")

# Wider than any table: what reads a pipe wants all of a line.
PIPE_COLUMNS = 1_000_000

# In the place of what is cut out of a text.
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
    "quiet": "dim",
    "fault": "red",
}


class PipeAwareConsole(Console):
    """A console that leaves it to the program what is done when nobody reads."""

    def on_broken_pipe(self) -> None:
        """Passes it on, where rich would end the process."""
        raise BrokenPipeError


class Output:
    """Standard output, or what stands in its place.

    Args:
        stream: where to write.
        colour: `always`, `never`, or `auto`: where it is a terminal that takes colours.
        environ: where NO_COLOR (no-color.org) and TERM stand.

    Attributes:
        can_redraw: whether what was written can be drawn over.
        has_colours: whether colours are wanted.
        console: the same for tables.
    """

    def __init__(
        self,
        stream: TextIO = sys.stdout,
        *,
        colour: str = "auto",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._stream = stream
        terminal = stream.isatty()
        smart = terminal and environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
        self.can_redraw = smart
        self.has_colours = colour == "always" or (
            colour == "auto" and smart and not environ.get("NO_COLOR")
        )
        self.console = PipeAwareConsole(
            file=stream,
            theme=Theme(STYLES, inherit=False),
            force_terminal=smart,
            no_color=not self.has_colours,
            color_system="auto" if smart else ("standard" if self.has_colours else None),
            width=None if terminal else PIPE_COLUMNS,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def write(self, lines: Iterable[str]) -> None:
        """Writes lines at once.

        It waits for a reader that is slow, and so does the stream: nobody else is in this process.

        Raises:
            BrokenPipeError: nobody reads.
        """
        self._stream.write("".join(line + "\n" for line in lines))
        self._stream.flush()

    def write_text(self, text: str) -> None:
        """Writes a text at once, without a line end; raises as `write` does."""
        self._stream.write(text)
        self._stream.flush()

    def write_objects(self, values: Iterable[dict[str, Any]]) -> None:
        """Writes each value as one line of JSON; raises as `write` does."""
        self.write(encode_json_line(value) for value in values)


def truncate_middle(text: str, columns: int) -> str:
    """Return a text that is at most so wide on a terminal, cut in its middle.

    The ends of a name tell it from its neighbours: `nightly-…-2026-11-28`.

    Args:
        text: the text.
        columns: how wide it may be, 1 or more; a character may take two.
    """
    if cell_len(text) <= columns:
        return text
    behind = (columns - 1) // 2
    before = columns - 1 - behind
    return f"{truncate_end(text, before)}{ELLIPSIS}{truncate_end(text[::-1], behind)[::-1]}"


def truncate_end(text: str, columns: int) -> str:
    """Return as many of the first characters of a text as so many columns hold."""
    width = 0
    for place, character in enumerate(text):
        width += cell_len(character)
        if width > columns:
            return text[:place]
    return text


def pad(text: str, columns: int) -> str:
    """A text that is at least so wide on a terminal."""
    return text + " " * (columns - cell_len(text))


def status_style(status: str) -> str:
    """The name of the style of a status; a newer server's unknown one has the plain one."""
    name = f"status.{status}"
    return name if name in STYLES else ""
