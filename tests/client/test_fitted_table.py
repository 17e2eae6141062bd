"""Tests of tables that fit into a width."""

import io

import pytest
from rich.console import Console

from marianne_stream.client.fitted_table import BarSpan, FittedRow, FittedTable, TableColumn

COLUMNS = (
    TableColumn("JOB", rank=3),
    TableColumn("STATUS"),
    TableColumn("STARTED", rank=1),
    TableColumn("TRY", 2),
)


def print_table(*rows: FittedRow, width: int, has_bars: bool = False) -> list[str]:
    """Return the lines of a table."""
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    table = FittedTable(COLUMNS, rows, note_heading="ERROR", width=width, has_bars=has_bars)
    table.print(console)
    return stream.getvalue().splitlines()


def make_row(note: str = "", span: BarSpan = BarSpan()) -> FittedRow:  # noqa: B008 - frozen
    cells = [("nightly", ""), ("failed", ""), ("03:00:00", ""), ("1", "")]
    return FittedRow(cells, note, span)


@pytest.mark.parametrize(
    ("width", "heading"),
    [
        (80, ["JOB", "STATUS", "STARTED", "TRY", "ERROR"]),
        (30, ["JOB", "STATUS", "STARTED", "TRY"]),
        (29, ["JOB", "STATUS", "TRY", "ERROR"]),
        (18, ["JOB", "STATUS"]),
        (10, ["STATUS"]),
    ],
)
def test_columns_are_left_out_by_rank(width: int, heading: list[str]) -> None:
    first, second = print_table(make_row(), width=width)
    assert first.split() == heading
    assert "failed" in second
    assert max(len(first), len(second)) <= width


def test_note_that_fits_has_a_column() -> None:
    assert print_table(make_row("two\nlines"), width=80)[1].endswith("1    two lines")


def test_note_that_does_not_fit_is_wrapped_below_its_row() -> None:
    note = "one word after another " * 3 + "\nand a second line"
    lines = print_table(make_row(note), make_row(), width=30)
    assert lines[2:] == [
        *("    one word after another one", "    word after another one", "    word after another"),
        *("    and a second line", lines[-1]),
    ]
    assert lines[1] == lines[-1]


def test_note_that_is_cut_ends_with_a_mark() -> None:
    console = Console(file=io.StringIO(), width=30)
    notes = ["one word after another " * 3, "two\nlines", "x" * 60, "字" * 40, "short"]
    rows = [make_row(note) for note in notes]
    table = FittedTable(COLUMNS, rows, note_heading="ERROR", width=30)
    blocks = [
        [line.plain for line in block[1:]] for block in table.blocks(console, max_note_rows=1)
    ]
    assert blocks == [
        ["    one word after another o …"],
        ["    two …"],
        ["    " + "x" * 24 + " …"],
        ["    " + "字" * 12 + " …"],
        ["    short"],
    ]


def test_progress_bar_in_a_note_is_its_last_state() -> None:
    assert print_table(make_row("10%\r20%\r30%"), width=80)[1].endswith("1    30%")


def test_bar_shows_the_span_in_the_time_of_all_rows() -> None:
    rows = [make_row(span=BarSpan(0.0, 10.0)), make_row(span=BarSpan(5.0, 10.0)), make_row()]
    first, second, last = print_table(*rows, width=52, has_bars=True)[1:]
    assert first.endswith("1    " + "━" * 20)
    assert second.endswith("1    " + " " * 10 + "━" * 10)
    assert last.endswith("1")


def test_bar_is_left_out_before_any_column() -> None:
    rows = [make_row(span=BarSpan(0.0, 10.0))]
    assert "━" in print_table(*rows, width=48, has_bars=True)[1]
    narrow = print_table(*rows, width=47, has_bars=True)
    assert narrow[0].split() == ["JOB", "STATUS", "STARTED", "TRY"]
    assert narrow[1].endswith("1")
