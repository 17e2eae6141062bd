"""`logs`: a job's log, its newest lines and what follows.

It must not know where the options come from.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from marianne_stream.client.address import job_path
from marianne_stream.client.answers import Line
from marianne_stream.client.cleaning import clean, coloured
from marianne_stream.client.log_since import Place, place_since
from marianne_stream.client.notes import Notes
from marianne_stream.client.output import Output
from marianne_stream.client.server import Server
from marianne_stream.client.stream import Event, Stream, read
from marianne_stream.client.unfinished import UnfinishedLine
from marianne_stream.errors import CliLogNotFoundError
from marianne_stream.wire.cursors import LogCursor

# As many as the server gives to one who comes back and has lost his place.
MOST_LINES = 1000

LINE_EVENTS = frozenset({"log", "log_partial"})
CONDUCTORS = "the job has no log of its own: these are its lines of the conductor's log"

GAPS = {
    "cursor_expired": "the place in the log is not known any more; its newest lines follow",
    "truncated": "a part of the log is missing: it was cut, and no copy holds all of it",
    "rotated_away": "a part of the log is missing: an older file could not be read to its end",
}


@dataclass(frozen=True, slots=True)
class LogWish:
    """Which lines are wanted.

    Attributes:
        job_id: whose log.
        lines: how many of the newest come first.
        follow: whether to go on with what comes.
        cursor: behind which place to begin instead; "" for none.
        since_s: from which time on instead, by the lines' own times, in epoch seconds; None for
            any.
        level: only lines of this level or a graver one; "" for all.
        regex: only lines in which this is found; "" for all.
    """

    job_id: str
    lines: int
    follow: bool = False
    cursor: str = ""
    since_s: float | None = None
    level: str = ""
    regex: str = ""

    def filters(self) -> dict[str, str]:
        """The parameters that say which lines are wanted."""
        given = {"level": self.level, "regex": self.regex}
        return {name: value for name, value in given.items() if value}

    def stream(self, server: Server) -> Stream:
        """The stream that gives them."""
        follow = "true" if self.follow else "false"
        # Who follows a log that is not there yet waits for it.
        params = {"tail_lines": str(self.lines), "follow": follow, "wait": follow}
        params |= self.filters()
        return Stream(
            server,
            job_path(self.job_id, "/logs"),
            params,
            params_again={"tail_lines": str(MOST_LINES)},
            cursor=resumable(self.cursor),
        )


async def show_log(server: Server, output: Output, wish: LogWish, *, as_json: bool) -> int:
    """Prints lines until the log ends, and returns the exit code; cancelling is safe.

    The exit code is NoLogError's if the job has ended, and wrote no log.

    Raises:
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
    """
    unfinished, follow, exit_code = UnfinishedLine(output), wish.follow, 0
    is_labelled = False
    server.notes.before = unfinished.erase
    wish, first = await begun(server, wish)
    try:
        async with aclosing(batches_of(wish.stream(server), first)) as batches:
            async for batch in batches:
                if as_json:
                    # An unfinished line comes again when it is whole.
                    output.write_objects(
                        replace(event, cursor=resumable(event.cursor)).as_object()
                        for event in batch
                        if event.name != "log_partial"
                    )
                else:
                    if not is_labelled and any(map(is_of_conductor, batch)):
                        is_labelled = True
                        server.notes.say(CONDUCTORS)
                    say_cut(server.notes, write_lines(output, batch, unfinished, follow=follow))
                for event in batch:
                    say(server.notes, event)
                    if event.name == "log_complete" and event.data.get("missing") is True:
                        exit_code = CliLogNotFoundError.exit_code
    finally:
        unfinished.leave()
    return exit_code


def is_of_conductor(event: Event) -> bool:
    """Return True for a line of the conductor's own log."""
    return event.name == "log" and event.data.get("source") == "conductor"


def write_lines(
    output: Output, batch: Sequence[Event], unfinished: UnfinishedLine, *, follow: bool
) -> list[Line]:
    """Prints lines, and the last one while it is unfinished: drawn, or printed if it is the end."""
    shown = coloured if output.coloured else clean
    lines = [read(event, Line) for event in batch if event.name == "log"]
    if lines:
        unfinished.erase()
        output.write(shown(line.line) for line in lines)
    newest = next((event for event in reversed(batch) if event.name in LINE_EVENTS), None)
    if newest is not None and newest.name == "log_partial":
        text = str(newest.data.get("line"))
        if follow:
            unfinished.draw(text)
        else:
            output.write([shown(text)])
    return lines


async def begun(server: Server, wish: LogWish) -> tuple[LogWish, Event | None]:
    """Return what is wanted with a place for its time, and a line that comes before that place.

    Raises:
        MarianneStreamError: as `show_log`.
    """
    if wish.since_s is None:
        return wish, None
    try:
        place = await place_since(server, wish.job_id, wish.filters(), wish.since_s)
    except CliLogNotFoundError:
        if not wish.follow:
            raise
        # The stream says that there is none, and waits for it: all of its lines are new.
        place = Place()
    if not place.timed:
        server.notes.say("no line of this log has a time of its own: none is known to be that new")
    return replace(wish, cursor=place.cursor, lines=MOST_LINES), place.first


async def batches_of(stream: Stream, first: Event | None) -> AsyncGenerator[list[Event], None]:
    """Yield an event, if there is one to come first, and then those of a stream."""
    if first is not None:
        yield [first]
    async with aclosing(stream.batches()) as batches:
        async for batch in batches:
            yield batch


def resumable(cursor: str) -> str:
    """Where a later `logs` does well to begin.

    The cursor behind the end of a log that was not followed means that nothing more is wanted: who
    comes back with it is told just that, whatever was written since.
    """
    place = LogCursor.parse(cursor)
    return cursor if place is None or place.kind != "x" else str(place.as_resumable())


def say_cut(notes: Notes, lines: Iterable[Line]) -> None:
    """Says which lines are not whole: they look as if they were."""
    for line in lines:
        if line.truncated:
            notes.say(f"line {line.line_number} is longer than 64 KiB: its beginning is shown")


def say(notes: Notes, event: Event) -> None:
    """Says what the lines do not show: that some are missing, or that a new file has begun."""
    if event.name == "log_missing":
        notes.say(str(event.data.get("detail")))
    elif event.name == "log_gap":
        reason, lost_bytes = event.data.get("reason"), event.data.get("lost_bytes")
        sentence = GAPS.get(str(reason), f"a part of the log is missing: {reason}")
        notes.say(sentence + (f" ({lost_bytes} bytes)" if lost_bytes else ""))
    elif event.name == "log_rotated":
        notes.say(f"the log was {event.data.get('reason')}, and begins anew")
