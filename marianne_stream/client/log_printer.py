"""`logs`: a job's log, its newest lines and what follows.

It must not know where the options come from.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.log_since import SincePosition, find_since
from marianne_stream.client.messages import StderrReporter
from marianne_stream.client.output import Output
from marianne_stream.client.sanitize import strip_all_but_colours, strip_controls
from marianne_stream.client.sse_client import SSEClient, StreamEvent, convert_data
from marianne_stream.client.unfinished import PartialLineDisplay
from marianne_stream.errors import CliLogNotFoundError
from marianne_stream.wire.cursors import LogCursor

# As many as the server gives to one who comes back and has lost his place.
MAX_TAIL_LINES = 1000

LINE_EVENTS = frozenset({"log", "log_partial"})
CONDUCTOR_LOG_NOTICE = "the job has no log of its own: these are its lines of the conductor's log"

GAP_MESSAGES = {
    "cursor_expired": "the place in the log is not known any more; its newest lines follow",
    "truncated": "a part of the log is missing: it was cut, and no copy holds all of it",
    "rotated_away": "a part of the log is missing: an older file could not be read to its end",
}


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines are wanted.

    Attributes:
        job_id: whose log.
        tail_lines: how many of the newest come first.
        is_following: whether to go on with what comes.
        cursor: behind which place to begin instead; "" for none.
        since_s: from which time on instead, by the lines' own times, in epoch seconds; None for
            any.
        level: only lines of this level or a graver one; "" for all.
        regex: only lines in which this is found; "" for all.
    """

    job_id: str
    tail_lines: int
    is_following: bool = False
    cursor: str = ""
    since_s: float | None = None
    level: str = ""
    regex: str = ""

    def filter_params(self) -> dict[str, str]:
        """The parameters that say which lines are wanted."""
        given = {"level": self.level, "regex": self.regex}
        return {name: value for name, value in given.items() if value}

    def make_stream(self, client: ApiClient) -> SSEClient:
        """The stream that gives them."""
        follow = "true" if self.is_following else "false"
        # Who follows a log that is not there yet waits for it.
        params = {"tail_lines": str(self.tail_lines), "follow": follow, "wait": follow}
        params |= self.filter_params()
        return SSEClient(
            client,
            job_path(self.job_id, "/logs"),
            params,
            resume_params={"tail_lines": str(MAX_TAIL_LINES)},
            cursor=resumable_cursor(self.cursor),
        )


async def print_log(client: ApiClient, output: Output, query: LogQuery, *, as_json: bool) -> int:
    """Prints lines until the log ends, and returns the exit code; cancelling is safe.

    The exit code is NoLogError's if the job has ended, and wrote no log.

    Raises:
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
    """
    unfinished, follow, exit_code = PartialLineDisplay(output), query.is_following, 0
    is_labelled = False
    client.reporter.before_report = unfinished.erase
    query, first = await resolve_since(client, query)
    try:
        async with aclosing(batches_after(query.make_stream(client), first)) as batches:
            async for batch in batches:
                if as_json:
                    # An unfinished line comes again when it is whole.
                    output.write_objects(
                        replace(event, cursor=resumable_cursor(event.cursor)).to_json_object()
                        for event in batch
                        if event.name != "log_partial"
                    )
                else:
                    if not is_labelled and any(map(is_conductor_line, batch)):
                        is_labelled = True
                        client.reporter.report(CONDUCTOR_LOG_NOTICE)
                    report_truncated(
                        client.reporter, write_lines(output, batch, unfinished, follow=follow)
                    )
                for event in batch:
                    report_log_event(client.reporter, event)
                    if event.name == "log_complete" and event.data.get("missing") is True:
                        exit_code = CliLogNotFoundError.exit_code
    finally:
        unfinished.close()
    return exit_code


def is_conductor_line(event: StreamEvent) -> bool:
    """Return True for a line of the conductor's own log."""
    return event.name == "log" and event.data.get("source") == "conductor"


def write_lines(
    output: Output, batch: Sequence[StreamEvent], partial_line: PartialLineDisplay, *, follow: bool
) -> list[LogLineBody]:
    """Prints lines, and the last one while it is unfinished: drawn, or printed if it is the end."""
    shown = strip_all_but_colours if output.has_colours else strip_controls
    lines = [convert_data(event, LogLineBody) for event in batch if event.name == "log"]
    if lines:
        partial_line.erase()
        output.write(shown(line.line) for line in lines)
    newest = next((event for event in reversed(batch) if event.name in LINE_EVENTS), None)
    if newest is not None and newest.name == "log_partial":
        text = str(newest.data.get("line"))
        if follow:
            partial_line.draw(text)
        else:
            output.write([shown(text)])
    return lines


async def resolve_since(client: ApiClient, query: LogQuery) -> tuple[LogQuery, StreamEvent | None]:
    """Return what is wanted with a place for its time, and a line that comes before that place.

    Raises:
        MarianneStreamError: as `print_log`.
    """
    if query.since_s is None:
        return query, None
    try:
        place = await find_since(client, query.job_id, query.filter_params(), query.since_s)
    except CliLogNotFoundError:
        if not query.is_following:
            raise
        # The stream says that there is none, and waits for it: all of its lines are new.
        place = SincePosition()
    if not place.has_times:
        client.reporter.report(
            "no line of this log has a time of its own: none is known to be that new"
        )
    return replace(query, cursor=place.cursor, tail_lines=MAX_TAIL_LINES), place.first_event


async def batches_after(
    stream: SSEClient, first: StreamEvent | None
) -> AsyncGenerator[list[StreamEvent], None]:
    """Yield an event, if there is one to come first, and then those of a stream."""
    if first is not None:
        yield [first]
    async with aclosing(stream.batches()) as batches:
        async for batch in batches:
            yield batch


def resumable_cursor(cursor: str) -> str:
    """Where a later `logs` does well to begin.

    The cursor behind the end of a log that was not followed means that nothing more is wanted: who
    comes back with it is told just that, whatever was written since.
    """
    place = LogCursor.parse(cursor)
    return cursor if place is None or place.kind != "x" else str(place.as_resumable())


def report_truncated(reporter: StderrReporter, lines: Iterable[LogLineBody]) -> None:
    """Says which lines are not whole: they look as if they were."""
    for line in lines:
        if line.truncated:
            reporter.report(
                f"line {line.line_number} is longer than 64 KiB: its beginning is shown"
            )


def report_log_event(reporter: StderrReporter, event: StreamEvent) -> None:
    """Says what the lines do not show: that some are missing, or that a new file has begun."""
    if event.name == "log_missing":
        reporter.report(str(event.data.get("detail")))
    elif event.name == "log_gap":
        reason, lost_bytes = event.data.get("reason"), event.data.get("lost_bytes")
        sentence = GAP_MESSAGES.get(str(reason), f"a part of the log is missing: {reason}")
        reporter.report(sentence + (f" ({lost_bytes} bytes)" if lost_bytes else ""))
    elif event.name == "log_rotated":
        reporter.report(f"the log was {event.data.get('reason')}, and begins anew")
