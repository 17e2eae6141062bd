"""`events`: the timeline, of one job or of all, as it comes.

It must not know what the conductor's events mean.
"""

from contextlib import aclosing
from dataclasses import dataclass

from rich.text import Text

from marianne_stream.client.address import job_path
from marianne_stream.client.answers import TimelineEvent
from marianne_stream.client.cleaning import clean_word, json_line
from marianne_stream.client.notes import Notes, SourceNotes
from marianne_stream.client.output import Output, padded
from marianne_stream.client.server import Server
from marianne_stream.client.stream import Event, Stream, read
from marianne_stream.client.times import clock

# As many as the server gives to one who comes back and has lost his place.
MOST_EVENTS = 200

# What a stream says of itself, and not of the conductor.
OWN_EVENTS = frozenset({"gap", "source", "stream_error"})

# Of names, so that what follows stands in columns; longer ones push it aside.
JOB_COLUMNS = 20
EVENT_COLUMNS = 22

# What an event's name ends with, and how it is drawn.
STYLES = {
    "failed": "status.failed",
    "completed": "status.completed",
    "cancelled": "status.cancelled",
    "started": "status.running",
}


@dataclass(frozen=True, slots=True)
class EventWish:
    """Which events are wanted.

    Attributes:
        job_id: of which job; None for all.
        events: how many of the newest come first.
        cursor: behind which event to begin instead; "" for none.
    """

    job_id: str | None
    events: int
    cursor: str = ""

    def stream(self, server: Server) -> Stream:
        """The stream that gives them."""
        return Stream(
            server,
            "/api/events/stream" if self.job_id is None else job_path(self.job_id, "/events"),
            {"limit": str(self.events)},
            params_again={"limit": str(MOST_EVENTS)},
            cursor=self.cursor,
        )


async def show_events(server: Server, output: Output, wish: EventWish, *, as_json: bool) -> int:
    """Prints events; it ends by being cancelled, which is safe.

    Raises:
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
    """
    source = SourceNotes(server.notes)
    async with aclosing(wish.stream(server).batches()) as batches:
        async for batch in batches:
            if as_json:
                output.write_objects(event.as_object() for event in batch)
            for event in batch:
                if event.name == "source":
                    source.hear(event.data)
                elif event.name == "gap":
                    say_gap(server.notes, event)
                elif event.name not in OWN_EVENTS and not as_json:
                    output.console.print(line_of(read(event, TimelineEvent)), soft_wrap=True)
    return 0


def say_gap(notes: Notes, event: Event) -> None:
    """Says that events are missing."""
    missed = event.data.get("missed")
    notes.say(f"{missed or 'some'} events are missing: {event.data.get('reason')}")


def line_of(event: TimelineEvent) -> Text:
    """An event on one line: when, whose, what, which sheet, and what else it says."""
    style = STYLES.get(event.event.rpartition(".")[2], "")
    line = Text(clock(event.timestamp) + "  ", style="quiet")
    line.append(padded(clean_word(event.job_id or "-"), JOB_COLUMNS) + "  ", style="none")
    line.append(padded(clean_word(event.event), EVENT_COLUMNS), style=style or "none")
    if event.sheet_num:
        line.append(f"  sheet {event.sheet_num}", style="none")
    if details := words_of(event.data):
        line.append("  " + details, style="quiet")
    line.rstrip()
    return line


def words_of(data: object) -> str:
    """What an event says besides, in words: `name=value`, and JSON for what is not plain."""
    if data is None:
        return ""
    if not isinstance(data, dict):
        return value_of(data)
    return " ".join(f"{clean_word(str(name))}={value_of(value)}" for name, value in data.items())


def value_of(value: object) -> str:
    """A value: text as it is where it is one word, else as JSON."""
    if isinstance(value, str):
        word = clean_word(value)
        return word if word and not any(mark in word for mark in ' "=') else json_line(word)
    return json_line(value)
