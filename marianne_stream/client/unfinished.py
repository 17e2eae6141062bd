"""The last line of a log while it has no newline: drawn over in a terminal until it has one."""

from rich.cells import cell_len, set_cell_size

from marianne_stream.client.output import Output
from marianne_stream.client.sanitize import strip_controls

# To the beginning of the line, and erase what stands there (ECMA-48, EL).
ERASE_LINE = "\r\x1b[K"


class PartialLineDisplay:
    """Draws the unfinished last line of a log, where what was written can be drawn over.

    Args:
        output: where the log is written.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._is_drawn = False

    def draw(self, text: str) -> None:
        """Draws the line as it is now, in the place of what it was; "" leaves nothing there."""
        self.erase()
        if not text or not self._output.can_redraw:
            return
        shown, columns = strip_controls(text).expandtabs(), self._output.console.width - 1
        if cell_len(shown) > columns:
            shown = set_cell_size(shown, columns - 1) + "…"
        self._output.write_text(shown)
        self._is_drawn = True

    def erase(self) -> None:
        """Makes room for whole lines, and for what is said on standard error."""
        if self._is_drawn:
            self._output.write_text(ERASE_LINE)
            self._is_drawn = False

    def close(self) -> None:
        """Leaves the line as it is, and goes on below it."""
        if self._is_drawn:
            self._output.write([""])
            self._is_drawn = False
