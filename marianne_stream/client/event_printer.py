"""`events`: the conductor's events, of one job or of all jobs."""

from contextlib import aclosing
from dataclasses import dataclass

from rich.text import Text

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import TimelineEventBody
from marianne_stream.client.field_format import format_field_value, format_fields
from marianne_stream.client.messages import SourceReporter, StderrReporter
from marianne_stream.client.output import PIPE_COLUMNS, Output, pad, truncate_middle
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.sse_client import SSEClient, StreamEvent, convert_data
from marianne_stream.client.times import format_time

# Maximum that the server replays to a client whose cursor has expired.
MAX_EVENTS = 200

# Events of the stream itself, not of the conductor.
STREAM_EVENTS = frozenset({"gap", "source", "stream_error"})

# Widths of the columns; a longer text pushes the rest to the right.
TIME_COLUMNS = len("23:59:59")
JOB_COLUMNS = 20
EVENT_COLUMNS = len("observer.process_spawned")
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
    """Query of past and new events, of one job or of all.

    A cursor is the event to start after, instead of the last `limit` events.
    """

    job_id: str | None
    limit: int
    cursor: str = ""

    def make_stream(self, client: ApiClient) -> SSEClient:
        """Return the stream of the query."""
        return SSEClient(
            client,
            "/api/events/stream" if self.job_id is None else job_path(self.job_id, "/events"),
            {"limit": str(self.limit)},
            resume_params={"limit": str(MAX_EVENTS)},
            cursor=self.cursor,
        )


async def print_events(
    client: ApiClient, output: Output, query: EventQuery, *, as_json: bool
) -> int:
    """Print events until cancelled, which is safe.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
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
    below the event if that has no room.
    """

    def __init__(self, output: Output, query: EventQuery) -> None:
        self._output = output
        self._has_job = not output.can_redraw or query.job_id is None

    def format(self, event: TimelineEventBody) -> Text:
        """Format an event, on a terminal as one row or more."""
        width = self._width
        time = Text(pad(format_time(event.timestamp), TIME_COLUMNS) + GAP, style="quiet")
        style = EVENT_STYLES.get(event.event.rpartition(".")[2], "none")
        name = Text(strip_to_one_line(event.event), style=style)
        sheet = f"sheet {event.sheet_num}" if event.sheet_num else ""
        job = strip_to_one_line(event.job_id or "-") if self._has_job else ""
        details = Text(format_data(event.data), style="quiet")
        if width < MIN_COLUMNS_FOR_TABLE:
            below = Text(GAP.join(filter(None, (job, sheet))))
            below.append(GAP if below and details else "").append_text(details)
            return self._add_details(time + name, below, room=0)
        head = time
        if self._has_job:
            head.append(self._format_job(job, width) + GAP, style="none")
        head.append_text(name).append(" " * max(0, EVENT_COLUMNS - name.cell_len))
        head.append(GAP + pad(sheet, SHEET_COLUMNS), style="none")
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
        if details.cell_len <= room or room >= MIN_DETAIL_COLUMNS:
            first, *rows = details.wrap(console, room) if details.cell_len > room else [details]
            line = head.append(GAP).append_text(first)
            indent = " " * (self._width - room)
        else:
            rows = list(details.wrap(console, max(1, self._width - len(INDENT))))
            line, indent = head, INDENT
        lines = [line, *(Text(indent).append_text(row) for row in rows)]
        for each in lines:
            each.rstrip()
        return Text("\n").join(lines)


def format_data(data: object) -> str:
    """Format the data of an event as `name=value` pairs, with JSON for nested values."""
    if data is None:
        return ""
    return format_fields(data) if isinstance(data, dict) else format_field_value(data)
