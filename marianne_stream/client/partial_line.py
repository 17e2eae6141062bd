"""Unfinished last line of a log that is followed."""

from rich.cells import cell_len, set_cell_size

from marianne_stream.client.output import ELLIPSIS, Output
from marianne_stream.client.sanitize import strip_controls

# Carriage return, and erase to the end of the line (ECMA-48, EL).
ERASE_LINE = "\r\x1b[K"


class PartialLineDisplay:
    """Draws the unfinished last line of a log, on a terminal that can overwrite lines."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._is_drawn = False

    def draw(self, text: str) -> None:
        """Draw the line in the place of the previous one; "" draws nothing."""
        self.erase()
        if not text or not self._output.can_redraw:
            return
        shown, columns = strip_controls(text).expandtabs(), self._output.console.width - 1
        if cell_len(shown) > columns:
            shown = set_cell_size(shown, columns - 1) + ELLIPSIS
        self._output.write_text(shown)
        self._is_drawn = True

    def erase(self) -> None:
        """Erase the drawn line, to make room for complete lines or messages."""
        if self._is_drawn:
            self._output.write_text(ERASE_LINE)
            self._is_drawn = False

    def close(self) -> None:
        """End the drawn line, so that it stays on the screen."""
        if self._is_drawn:
            self._output.write([""])
            self._is_drawn = False
