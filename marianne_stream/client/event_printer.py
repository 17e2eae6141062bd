"""`events`: the conductor's events, of one job or of all jobs."""

from contextlib import aclosing
from dataclasses import dataclass

from rich.text import Text

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import TimelineEventBody
from marianne_stream.client.field_format import format_field_value, format_fields
from marianne_stream.client.messages import SourceReporter, StderrReporter
from marianne_stream.client.output import Output, pad
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.sse_client import SSEClient, StreamEvent, convert_data
from marianne_stream.client.times import format_time

# Maximum that the server replays to a client whose cursor has expired.
MAX_EVENTS = 200

# Events of the stream itself, not of the conductor.
STREAM_EVENTS = frozenset({"gap", "source", "stream_error"})

# Width of the name columns; longer names push the rest to the right.
JOB_COLUMNS = 20
EVENT_COLUMNS = 22

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
    source = SourceReporter(client.reporter)
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
                    output.console.print(
                        format_event(convert_data(event, TimelineEventBody)), soft_wrap=True
                    )
    return 0


def report_gap(reporter: StderrReporter, event: StreamEvent) -> None:
    """Report lost events."""
    missed = event.data.get("missed")
    reporter.report(f"{missed or 'some'} events are missing: {event.data.get('reason')}")


def format_event(event: TimelineEventBody) -> Text:
    """Format an event as one line: time, job, name, sheet, other data."""
    style = EVENT_STYLES.get(event.event.rpartition(".")[2], "")
    line = Text(format_time(event.timestamp) + "  ", style="quiet")
    line.append(pad(strip_to_one_line(event.job_id or "-"), JOB_COLUMNS) + "  ", style="none")
    line.append(pad(strip_to_one_line(event.event), EVENT_COLUMNS), style=style or "none")
    if event.sheet_num:
        line.append(f"  sheet {event.sheet_num}", style="none")
    if details := format_data(event.data):
        line.append("  " + details, style="quiet")
    line.rstrip()
    return line


def format_data(data: object) -> str:
    """Format the data of an event as `name=value` pairs, with JSON for nested values."""
    if data is None:
        return ""
    return format_fields(data) if isinstance(data, dict) else format_field_value(data)
