"""Table that fits the terminal: columns that do not fit are left out, and notes go below."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from marianne_stream.client.output import ELLIPSIS, pad
from marianne_stream.client.sanitize import strip_to_lines

GAP = "  "
NOTE_INDENT = "    "

# Bars are left out if they would be shorter, and are not drawn longer.
MIN_BAR_COLUMNS = 16
MAX_BAR_COLUMNS = 60


@dataclass(frozen=True, slots=True)
class TableColumn:
    """Column of a table.

    Columns are left out in the order of their ranks, 1 first. One with rank 0 is always shown.
    """

    heading: str
    rank: int = 0


@dataclass(frozen=True, slots=True)
class BarSpan:
    """Part of the time of all rows, for a bar; a row without a start has none."""

    start_s: float | None = None
    end_s: float | None = None
    style: str = ""


@dataclass(frozen=True, slots=True)
class FittedRow:
    """Cells of a row, with a style each; a note of any length, such as an error; and its span."""

    cells: Sequence[tuple[str, str]]
    note: str = ""
    span: BarSpan = BarSpan()
    note_style: str = "fault"


class FittedTable:
    """Table whose lines are not longer than a width.

    A note has a column of its own if the notes of all rows fit, otherwise it is wrapped below its
    row. Bars take the room that is left, on a terminal that `has_bars`.
    """

    def __init__(
        self,
        columns: Sequence[TableColumn],
        rows: Sequence[FittedRow],
        *,
        note_heading: str,
        width: int,
        has_bars: bool = False,
    ) -> None:
        self._columns = columns
        self._rows = rows
        self._note_heading = note_heading
        self._width = width
        self._sizes = [
            max(map(cell_len, (column.heading, *(row.cells[index][0] for row in rows))))
            for index, column in enumerate(columns)
        ]
        self._shown = self._choose_columns()
        room = width - self._row_columns()
        longest = max((cell_len(join_lines(row.note)) for row in rows), default=0)
        starts = [row.span.start_s for row in rows if row.span.start_s is not None]
        ends = [row.span.end_s for row in rows if row.span.end_s is not None]
        self._first_s, self._last_s = min(starts, default=0.0), max(ends, default=0.0)
        bar_columns = min(room, MAX_BAR_COLUMNS) if has_bars and starts else 0
        self._bar_columns = bar_columns if bar_columns >= MIN_BAR_COLUMNS else 0
        if self._bar_columns:
            room -= self._bar_columns + len(GAP)
        # On a terminal, a column without notes is left out.
        self._has_note_column = max(longest, len(note_heading)) <= room
        self._has_note_heading = self._has_note_column and (longest > 0 or not has_bars)

    def heading(self) -> Text:
        """Return the line of the headings."""
        headings = [self._columns[index].heading for index in self._shown]
        if self._bar_columns:
            headings.append("")
        if self._has_note_heading:
            headings.append(self._note_heading)
        line = Text(style="quiet")
        for text, size in zip(headings, [*self._shown_sizes(), 0], strict=False):
            line.append(pad(text, size) + GAP)
        line.rstrip()
        return line

    def row(self, row: FittedRow) -> Text:
        """Return the line of a row, with its note if that has a column."""
        line = Text()
        for index in self._shown:
            text, style = row.cells[index]
            line.append(pad(text, self._sizes[index]), style=style or "none").append(GAP)
        if self._bar_columns:
            line.append(self._draw_bar(row.span), style=row.span.style or "none").append(GAP)
        if self._has_note_column:
            line.append(join_lines(row.note), style=row.note_style)
        line.rstrip()
        return line

    def note(self, row: FittedRow, console: Console, *, max_rows: int | None = None) -> list[Text]:
        """Return the lines of a row's note that are below it: none if it has a column.

        The last of `max_rows` lines is marked if the note has more.
        """
        if self._has_note_column or not row.note:
            return []
        room = max(1, self._width - len(NOTE_INDENT))
        rows = wrap_lines(row.note, row.note_style, console, room, max_rows=max_rows)
        return [Text(NOTE_INDENT).append_text(line) for line in rows]

    def blocks(self, console: Console, *, max_note_rows: int | None = None) -> list[list[Text]]:
        """Return the lines of each row: itself and its note."""
        return [
            [self.row(row), *self.note(row, console, max_rows=max_note_rows)] for row in self._rows
        ]

    def print(self, console: Console) -> None:
        """Print all lines."""
        lines = [self.heading(), *chain.from_iterable(self.blocks(console))]
        console.print(Text("\n").join(lines), soft_wrap=True)

    def _choose_columns(self) -> list[int]:
        """Return the indexes of the columns that fit."""
        shown = list(range(len(self._columns)))
        ranked = [(column.rank, i) for i, column in enumerate(self._columns) if column.rank]
        for _, index in sorted(ranked):
            if sum(self._sizes[i] + len(GAP) for i in shown) - len(GAP) <= self._width:
                break
            shown.remove(index)
        return shown

    def _shown_sizes(self) -> list[int]:
        sizes = [self._sizes[index] for index in self._shown]
        return [*sizes, self._bar_columns] if self._bar_columns else sizes

    def _row_columns(self) -> int:
        """Return the width of the columns in front of bar and note."""
        return sum(self._sizes[index] + len(GAP) for index in self._shown)

    def _draw_bar(self, span: BarSpan) -> str:
        """Draw a span in proportion to the time of all rows."""
        columns = self._bar_columns
        if span.start_s is None or span.end_s is None:
            return " " * columns
        scale = columns / max(self._last_s - self._first_s, 1e-3)
        start = min(columns - 1, int((span.start_s - self._first_s) * scale))
        length = max(1, min(columns - start, round((span.end_s - span.start_s) * scale)))
        return pad(" " * start + "━" * length, columns)


def join_lines(text: str) -> str:
    """Return a text on one line, without control characters."""
    return " ".join(strip_to_lines(text)).replace("\t", " ")


def wrap_lines(
    text: str, style: str, console: Console, columns: int, *, max_rows: int | None = None
) -> list[Text]:
    """Wrap the lines of a text between words, without control characters.

    The last of `max_rows` rows is marked if the text has more.
    """
    rows: list[Text] = []
    for line in strip_to_lines(text):
        # Wrapping takes long, and the rest of a long line is not shown.
        shown = line if max_rows is None else line[: (max_rows + 1) * columns]
        rows += Text(shown, style=style).wrap(console, columns)
        if max_rows is not None and (len(rows) > max_rows or len(shown) < len(line)):
            del rows[max_rows:]
            rows[-1].rstrip()
            rows[-1].truncate(max(1, columns - len(ELLIPSIS) - 1))
            rows[-1].append(f" {ELLIPSIS}")
            break
    for row in rows:
        row.rstrip()
    return rows
