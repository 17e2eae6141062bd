"""`events`: the conductor's events, of one job or of all jobs."""

import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import TimelineEventBody
from marianne_stream.client.field_format import format_field_value, format_fields
from marianne_stream.client.messages import SourceReporter, StderrReporter
from marianne_stream.client.output import PIPE_COLUMNS, Output, pad, truncate_middle
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.sse_client import SSEClient, StreamEvent, convert_data
from marianne_stream.client.times import format_date, format_date_time, format_time

# Beginnings of the names of the events in a group; none for all events.
EVENT_GROUPS = {
    "job": ("job.", "sheet.", "baton."),
    "files": ("observer.file_",),
    "processes": ("observer.process_",),
    "all": (),
}
# Groups with events of processes, which the conductor cannot assign to a job with certainty.
PROCESS_GROUPS = frozenset({"processes", "all"})
PROCESS_NOTICE = "the conductor reports the processes of its host: some may not belong to the job"

# Maximum that the server replays to a client whose cursor has expired.
MAX_EVENTS = 200

# Events of the stream itself, not of the conductor.
STREAM_EVENTS = frozenset({"gap", "source", "stream_error"})

# Widths of the columns; a longer text pushes the rest to the right.
TIME_COLUMNS = len("23:59:59")
DATE_TIME_COLUMNS = len("2026-11-28 23:59:59")
JOB_COLUMNS = 20
EVENT_COLUMNS = len("observer.process_spawned")
OWN_EVENT_COLUMNS = len("sheet.completed")
SHEET_COLUMNS = len("sheet 123")
GAP = "  "

# In a narrower terminal, names of jobs are cut.
MIN_COLUMNS_FOR_NAMES = 100
NARROW_JOB_COLUMNS = 12
# In a narrower terminal, job, sheet and details are below the event.
MIN_COLUMNS_FOR_TABLE = 64
# Details that get less room are below the event.
MIN_DETAIL_COLUMNS = 16
INDENT = "    "

# Style of an event, by the last part of its name.
EVENT_STYLES = {
    "failed": "status.failed",
    "completed": "status.completed",
    "cancelled": "status.cancelled",
    "started": "status.running",
}


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Query of past and new events of a group, of one job or of all.

    A cursor is the event to start after, instead of the last `limit` events.
    """

    job_id: str | None
    limit: int
    cursor: str = ""
    group: str = "all"

    def make_stream(self, client: ApiClient) -> SSEClient:
        """Return the stream of the query."""
        filters = {"event": EVENT_GROUPS[self.group]}
        if self.job_id is not None:
            filters["job_id"] = (self.job_id,)
        return SSEClient(
            client,
            "/api/events/stream",
            {"limit": str(self.limit), **filters},
            resume_params={"limit": str(MAX_EVENTS)},
            cursor=self.cursor,
        )


async def print_events(
    client: ApiClient, output: Output, query: EventQuery, *, as_json: bool
) -> int:
    """Print events until cancelled, which is safe.

    Raises:
        CliJobNotFoundError: the job does not exist.
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    if query.job_id is not None:
        # The stream of all events does not check this.
        await client.get_json_with_retry(job_path(query.job_id), {}, dict[str, Any])
        if query.group in PROCESS_GROUPS:
            client.reporter.report(PROCESS_NOTICE)
    source, layout = SourceReporter(client.reporter), EventLayout(output, query)
    async with aclosing(query.make_stream(client).batches()) as batches:
        async for batch in batches:
            if as_json:
                output.write_objects(event.to_json_object() for event in batch)
            for event in batch:
                if event.name == "source":
                    source.on_source_event(event.data)
                elif event.name == "gap":
                    report_gap(client.reporter, event)
                elif event.name not in STREAM_EVENTS and not as_json:
                    line = layout.format(convert_data(event, TimelineEventBody))
                    output.console.print(line, soft_wrap=True)
    return 0


def report_gap(reporter: StderrReporter, event: StreamEvent) -> None:
    """Report lost events."""
    missed = event.data.get("missed")
    reporter.report(f"{missed or 'some'} events are missing: {event.data.get('reason')}")


class EventLayout:
    """Columns of events: time, job, event, sheet, details.

    A terminal leaves the job out if all events are of one, and wraps details in their column, or
    below the event if that has no room. It shows the time of day, and a row with the date where
    the day changes; elsewhere, each time has its date.
    """

    def __init__(self, output: Output, query: EventQuery) -> None:
        self._output = output
        self._has_job = not output.can_redraw or query.job_id is None
        self._event_columns = OWN_EVENT_COLUMNS if query.group == "job" else EVENT_COLUMNS
        self._date = format_date(time.time())

    def format(self, event: TimelineEventBody) -> Text:
        """Format an event, on a terminal as one row or more."""
        if not self._output.can_redraw:
            moment = pad(format_date_time(event.timestamp), DATE_TIME_COLUMNS)
            return self._format_event(event, moment)
        text = self._format_event(event, pad(format_time(event.timestamp), TIME_COLUMNS))
        date = format_date(event.timestamp)
        if date in ("", self._date):
            return text
        self._date = date
        return Text("\n").join([Text(f"── {date}", style="quiet"), text])

    def _format_event(self, event: TimelineEventBody, moment: str) -> Text:
        width = self._width
        head = Text.styled(moment + GAP, "quiet")
        style = EVENT_STYLES.get(event.event.rpartition(".")[2], "none")
        name = Text(strip_to_one_line(event.event), style=style)
        sheet = f"sheet {event.sheet_num}" if event.sheet_num else ""
        job = strip_to_one_line(event.job_id or "-") if self._has_job else ""
        details = Text(format_data(event.data), style="quiet")
        if width < MIN_COLUMNS_FOR_TABLE:
            below = Text(GAP.join(filter(None, (job, sheet))))
            below.append(GAP if below and details else "").append_text(details)
            return self._add_details(head + name, below, room=0)
        if self._has_job:
            head.append(self._format_job(job, width) + GAP)
        head.append_text(name).append(" " * max(0, self._event_columns - name.cell_len))
        head.append(GAP + pad(sheet, SHEET_COLUMNS))
        return self._add_details(head, details, room=width - head.cell_len - len(GAP))

    @property
    def _width(self) -> int:
        return self._output.console.width if self._output.can_redraw else PIPE_COLUMNS

    def _format_job(self, job: str, width: int) -> str:
        """Format the name of a job for its column, which is narrow on a narrow terminal."""
        columns = NARROW_JOB_COLUMNS if width < MIN_COLUMNS_FOR_NAMES else JOB_COLUMNS
        return pad(truncate_middle(job, columns) if self._output.can_redraw else job, columns)

    def _add_details(self, head: Text, details: Text, *, room: int) -> Text:
        """Return an event with its details behind it, in rows of so many columns, or below it."""
        console = self._output.console
        if not details:
            rows, indent = [], ""
        elif details.cell_len <= room or room >= MIN_DETAIL_COLUMNS:
            first, *rows = details.wrap(console, room) if details.cell_len > room else [details]
            head.append(GAP).append_text(first)
            indent = " " * (self._width - room)
        else:
            rows, indent = list(details.wrap(console, max(1, self._width - len(INDENT)))), INDENT
        lines = [head, *(Text(indent).append_text(row) for row in rows)]
        for each in lines:
            each.rstrip()
        return Text("\n").join(lines)


def format_data(data: object) -> str:
    """Format the data of an event as `name=value` pairs, with JSON for nested values."""
    if data is None:
        return ""
    return format_fields(data) if isinstance(data, dict) else format_field_value(data)
