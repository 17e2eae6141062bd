"""`events`: the timeline, of one job or of all, as it comes.

It must not know what the conductor's events mean.
"""

from contextlib import aclosing
from dataclasses import dataclass

from rich.text import Text

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import TimelineEventBody
from marianne_stream.client.messages import SourceReporter, StderrReporter
from marianne_stream.client.output import Output, pad
from marianne_stream.client.sanitize import encode_json_line, strip_to_one_line
from marianne_stream.client.sse_client import SSEClient, StreamEvent, convert_data
from marianne_stream.client.times import format_time

# As many as the server gives to one who comes back and has lost his place.
MAX_EVENTS = 200

# What a stream says of itself, and not of the conductor.
STREAM_EVENTS = frozenset({"gap", "source", "stream_error"})

# Of names, so that what follows stands in columns; longer ones push it aside.
JOB_COLUMNS = 20
EVENT_COLUMNS = 22

# What an event's name ends with, and how it is drawn.
EVENT_STYLES = {
    "failed": "status.failed",
    "completed": "status.completed",
    "cancelled": "status.cancelled",
    "started": "status.running",
}


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events are wanted.

    Attributes:
        job_id: of which job; None for all.
        limit: how many of the newest come first.
        cursor: behind which event to begin instead; "" for none.
    """

    job_id: str | None
    limit: int
    cursor: str = ""

    def make_stream(self, client: ApiClient) -> SSEClient:
        """The stream that gives them."""
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
    """Prints events; it ends by being cancelled, which is safe.

    Raises:
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
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
    """Says that events are missing."""
    missed = event.data.get("missed")
    reporter.report(f"{missed or 'some'} events are missing: {event.data.get('reason')}")


def format_event(event: TimelineEventBody) -> Text:
    """An event on one line: when, whose, what, which sheet, and what else it says."""
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
    """What an event says besides, in words: `name=value`, and JSON for what is not plain."""
    if data is None:
        return ""
    if not isinstance(data, dict):
        return format_value(data)
    return " ".join(
        f"{strip_to_one_line(str(name))}={format_value(value)}" for name, value in data.items()
    )


def format_value(value: object) -> str:
    """A value: text as it is where it is one word, else as JSON."""
    if isinstance(value, str):
        word = strip_to_one_line(value)
        return word if word and not any(mark in word for mark in ' "=') else encode_json_line(word)
    return encode_json_line(value)
