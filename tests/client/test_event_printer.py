"""Tests of the columns of events."""

import io
import re
import time
from collections.abc import Sequence

import pytest

from marianne_stream.client.api_models import TimelineEventBody
from marianne_stream.client.event_printer import EventLayout, EventQuery
from marianne_stream.client.output import Output
from tests.support.screens import Screen

NOW_S = time.time()
EVENTS = (
    TimelineEventBody(
        "job.started", "nightly-build-2026-11-28", data={"sheet_count": 5}, timestamp=NOW_S
    ),
    TimelineEventBody(
        *("observer.process_spawned", "a", 12, {"pid": 7443, "name": "a name with words " * 6}),
        timestamp=NOW_S,
    ),
    TimelineEventBody("sheet.completed", "a", 3, timestamp=NOW_S),
)


def lay_out(
    columns: int | None,
    job_id: str | None = None,
    term: str = "xterm",
    events: Sequence[TimelineEventBody] = EVENTS,
    group: str = "all",
) -> list[str]:
    """Return the rows of events on a terminal, or in a pipe for None columns."""
    stream = io.StringIO() if columns is None else Screen()
    output = Output(stream, environ={"TERM": term})
    if columns is not None:
        output.console.width = columns
    layout = EventLayout(output, EventQuery(job_id, 10, group=group))
    return [row for event in events for row in layout.format(event).plain.split("\n")]


@pytest.mark.parametrize(("columns", "job"), [(80, "nightl…11-28"), (200, "nightly-bu…026-11-28")])
def test_columns_are_aligned_on_a_terminal(columns: int, job: str) -> None:
    first, *rows, last = lay_out(columns)
    assert first.split()[1:] == [job, "job.started", "sheet_count=5"]
    assert first.index("job.started") == last.index("sheet.completed")
    assert rows[0].index("sheet 12") == last.index("sheet 3")
    column = first.index("sheet_count=5")
    assert all(row[:column].isspace() for row in rows[1:])
    assert all(len(row) <= columns for row in (first, *rows, last))


def test_time_and_details_of_an_event_are_dim() -> None:
    output = Output(screen := Screen(), environ={"TERM": "xterm"})
    output.console.width = 80
    output.console.print(EventLayout(output, EventQuery(None, 10)).format(EVENTS[0]))
    row = screen.getvalue().splitlines()[-1]
    assert re.fullmatch(
        r"\x1b\[2m\d\d:\d\d:\d\d  \x1b\[0mnightl…11-28.*\x1b\[2msheet_count=5\x1b\[0m", row
    )


def test_job_is_left_out_if_it_was_given() -> None:
    assert lay_out(80, "a")[-1][10:] == "sheet.completed           sheet 3"


def test_events_of_jobs_and_sheets_leave_room_for_details() -> None:
    event = TimelineEventBody(
        "job.started", "nightly", data={"instrument": "claude-code"}, timestamp=NOW_S
    )
    (row,) = lay_out(80, events=[event], group="job")
    assert row.endswith("  instrument=claude-code")


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
    first, second, last = (row[21:] for row in lay_out(columns, term=term))
    assert first.startswith("nightly-build-2026-11-28  job.started")
    assert second.startswith("a                     observer.process_spawned  sheet 12   pid=7443")
    assert last == "a                     sheet.completed           sheet 3"


@pytest.mark.parametrize("columns", [64, 66, 70, 80])
def test_event_with_a_long_name_and_no_details_has_one_row(columns: int) -> None:
    event = TimelineEventBody("observer.rate_limit.cleared_by_hand", "a", timestamp=NOW_S)
    (row,) = lay_out(columns, events=[event])
    assert row.endswith("a             observer.rate_limit.cleared_by_hand")


def test_date_is_shown_where_the_day_changes_and_in_each_line_of_a_pipe() -> None:
    day_s = 86_400
    times_s = [1_795_521_600.0, 1_795_521_600.0, 1_795_521_600.0 + day_s, NOW_S, NOW_S]
    events = [TimelineEventBody("job.note", "a", timestamp=time_s) for time_s in times_s]
    rows = lay_out(80, events=events)
    today = time.strftime("%Y-%m-%d", time.localtime(NOW_S))
    dates = ["2026-11-24", "2026-11-25", today]
    assert [row for row in rows if "job.note" not in row] == [f"── {date}" for date in dates]
    assert rows[0] == "── 2026-11-24"
    assert [row for row in lay_out(80) if row.startswith("──")] == []
    in_pipe = lay_out(None, events=events)
    assert [row[:10] for row in in_pipe] == ["2026-11-24", "2026-11-24", *dates[1:], today]
