"""Tests of the columns of events."""

import io

import pytest

from marianne_stream.client.api_models import TimelineEventBody
from marianne_stream.client.event_printer import EventLayout, EventQuery
from marianne_stream.client.output import Output
from tests.support.screens import Screen

EVENTS = (
    TimelineEventBody("job.started", "nightly-build-2026-11-28", data={"sheet_count": 5}),
    TimelineEventBody(
        "observer.process_spawned", "a", 12, {"pid": 7443, "name": "a name with words " * 6}
    ),
    TimelineEventBody("sheet.completed", "a", 3),
)


def lay_out(columns: int | None, job_id: str | None = None, term: str = "xterm") -> list[str]:
    """Return the rows of the events on a terminal, or in a pipe for None columns."""
    stream = io.StringIO() if columns is None else Screen()
    output = Output(stream, environ={"TERM": term})
    if columns is not None:
        output.console.width = columns
    layout = EventLayout(output, EventQuery(job_id, 10))
    return [row for event in EVENTS for row in layout.format(event).plain.splitlines()]


@pytest.mark.parametrize(("columns", "job"), [(80, "nightl…11-28"), (200, "nightly-bu…026-11-28")])
def test_columns_are_aligned_on_a_terminal(columns: int, job: str) -> None:
    first, *rows, last = lay_out(columns)
    assert first.split()[1:] == [job, "job.started", "sheet_count=5"]
    assert first.index("job.started") == last.index("sheet.completed")
    assert rows[0].index("sheet 12") == last.index("sheet 3")
    column = first.index("sheet_count=5")
    assert all(row[:column].isspace() for row in rows[1:])
    assert all(len(row) <= columns for row in (first, *rows, last))


def test_job_is_left_out_if_it_was_given() -> None:
    assert lay_out(80, "a")[-1][10:] == "sheet.completed           sheet 3"


def test_narrow_terminal_shows_the_rest_below() -> None:
    rows = lay_out(40)
    assert rows[0][10:] == "job.started"
    assert rows[1] == "    nightly-build-2026-11-28"
    assert rows[2] == "    sheet_count=5"
    assert rows[3][10:] == "observer.process_spawned"
    assert rows[4].startswith("    a  sheet 12  pid=7443")
    assert all(len(row) <= 40 for row in rows)


@pytest.mark.parametrize(("columns", "term"), [(None, "xterm"), (40, "dumb")])
def test_pipe_and_dumb_terminal_get_one_line_for_each_event(columns: int | None, term: str) -> None:
    first, second, last = (row[10:] for row in lay_out(columns, term=term))
    assert first.startswith("nightly-build-2026-11-28  job.started")
    assert second.startswith("a                     observer.process_spawned  sheet 12   pid=7443")
    assert last == "a                     sheet.completed           sheet 3"
