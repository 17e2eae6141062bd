"""`logs`: the last lines of a job's log, and new ones."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from rich.cells import cell_len, set_cell_size

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.log_since import SincePosition, find_since
from marianne_stream.client.messages import StderrReporter
from marianne_stream.client.output import Output
from marianne_stream.client.sanitize import strip_all_but_colours, strip_controls
from marianne_stream.client.sse_client import SSEClient, StreamEvent, convert_data
from marianne_stream.errors import CliLogNotFoundError
from marianne_stream.wire.cursors import LogCursor

# Maximum that the server sends to a client whose cursor has expired.
MAX_TAIL_LINES = 1000

LINE_EVENTS = frozenset({"log", "log_partial"})
CONDUCTOR_LOG_NOTICE = "the job has no log of its own: these are its lines of the conductor's log"

# Carriage return, and erase to the end of the line (ECMA-48, EL).
ERASE_LINE = "\r\x1b[K"

GAP_MESSAGES = {
    "cursor_expired": "the position in the log has expired; its newest lines follow",
    "truncated": "a part of the log is missing: the file was truncated, and no copy is complete",
    "rotated_away": "a part of the log is missing: a rotated file could not be read to its end",
}


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Query of log lines.

    A `cursor` is the line to start after, and `since_s` the time to start at, by the lines'
    timestamps, both instead of `tail_lines`. `level` is the minimum level. "" stands for none.
    """

    job_id: str
    tail_lines: int
    is_following: bool = False
    cursor: str = ""
    since_s: float | None = None
    level: str = ""
    regex: str = ""

    def filter_params(self) -> dict[str, str]:
        """Return the query parameters of the filters."""
        given = {"level": self.level, "regex": self.regex}
        return {name: value for name, value in given.items() if value}

    def make_stream(self, client: ApiClient) -> SSEClient:
        """Return the stream of the query."""
        follow = "true" if self.is_following else "false"
        # With follow, wait for a log that does not exist yet.
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
    """Print lines until the log ends, and return the exit code. Cancelling is safe.

    The exit code is that of CliLogNotFoundError if the job has ended without a log.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    partial_line, follow, exit_code = PartialLineDisplay(output), query.is_following, 0
    is_labelled = False
    client.reporter.before_report = partial_line.erase
    query, first = await resolve_since(client, query)
    try:
        async with aclosing(batches_after(query.make_stream(client), first)) as batches:
            async for batch in batches:
                if as_json:
                    # A partial line is sent again when it is complete.
                    output.write_objects(
                        replace(event, cursor=resumable_cursor(event.cursor)).to_json_object()
                        for event in batch
                        if event.name != "log_partial"
                    )
                else:
                    sources = (event.data.get("source") for event in batch if event.name == "log")
                    if not is_labelled and "conductor" in sources:
                        is_labelled = True
                        client.reporter.report(CONDUCTOR_LOG_NOTICE)
                    report_truncated(
                        client.reporter, write_lines(output, batch, partial_line, follow=follow)
                    )
                for event in batch:
                    report_log_event(client.reporter, event)
                    if event.name == "log_complete" and event.data.get("missing") is True:
                        exit_code = CliLogNotFoundError.exit_code
    finally:
        partial_line.close()
    return exit_code


class PartialLineDisplay:
    """Draws the partial last line of a log, on a terminal that can overwrite lines."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._is_drawn = False

    def draw(self, text: str) -> None:
        """Draw the line in the place of the previous one; "" draws nothing."""
        self.erase()
        if not text or not self._output.can_redraw:
            return
        shown, columns = strip_controls(text).expandtabs(), self._output.console.width - 1
        if cell_len(shown) > columns:
            shown = set_cell_size(shown, columns - 1) + "…"
        self._output.write_text(shown)
        self._is_drawn = True

    def erase(self) -> None:
        """Erase the drawn line, to make room for complete lines or messages."""
        if self._is_drawn:
            self._output.write_text(ERASE_LINE)
            self._is_drawn = False

    def close(self) -> None:
        """End the drawn line, so that it stays on the screen."""
        if self._is_drawn:
            self._output.write([""])
            self._is_drawn = False


def write_lines(
    output: Output, batch: Sequence[StreamEvent], partial_line: PartialLineDisplay, *, follow: bool
) -> list[LogLineBody]:
    """Write complete lines, and draw the partial last line; without `follow`, print it."""
    sanitize = strip_all_but_colours if output.has_colours else strip_controls
    lines = [convert_data(event, LogLineBody) for event in batch if event.name == "log"]
    if lines:
        partial_line.erase()
        output.write(sanitize(line.line) for line in lines)
    newest = next((event for event in reversed(batch) if event.name in LINE_EVENTS), None)
    if newest is not None and newest.name == "log_partial":
        text = str(newest.data.get("line"))
        if follow:
            partial_line.draw(text)
        else:
            output.write([sanitize(text)])
    return lines


async def resolve_since(client: ApiClient, query: LogQuery) -> tuple[LogQuery, StreamEvent | None]:
    """Resolve `since_s` to a cursor, and perhaps an event that comes before the stream.

    Raises:
        MarianneStreamError: as `print_log`.
    """
    if query.since_s is None:
        return query, None
    try:
        position = await find_since(client, query.job_id, query.filter_params(), query.since_s)
    except CliLogNotFoundError:
        if not query.is_following:
            raise
        # The stream waits for the log, and all of its lines will be new.
        position = SincePosition()
    if not position.has_times:
        client.reporter.report("no line of this log has a timestamp: --since finds none")
    return replace(query, cursor=position.cursor, tail_lines=MAX_TAIL_LINES), position.first_event


async def batches_after(
    stream: SSEClient, first: StreamEvent | None
) -> AsyncGenerator[list[StreamEvent], None]:
    """Yield the first event, if there is one, then the batches of a stream."""
    if first is not None:
        yield [first]
    async with aclosing(stream.batches()) as batches:
        async for batch in batches:
            yield batch


def resumable_cursor(cursor: str) -> str:
    """Return the cursor from which a later `logs` should resume.

    The final cursor of a log that was not followed would only be told that nothing is left, even if
    lines were written since.
    """
    parsed = LogCursor.parse(cursor)
    return cursor if parsed is None or parsed.kind != "x" else str(parsed.as_resumable())


def report_truncated(reporter: StderrReporter, lines: Iterable[LogLineBody]) -> None:
    """Report lines that are cut."""
    for line in lines:
        if line.truncated:
            reporter.report(
                f"line {line.line_number} is longer than 64 KiB: its beginning is shown"
            )


def report_log_event(reporter: StderrReporter, event: StreamEvent) -> None:
    """Report a missing log, lost lines and rotations."""
    if event.name == "log_missing":
        reporter.report(str(event.data.get("detail")))
    elif event.name == "log_gap":
        reason, lost_bytes = event.data.get("reason"), event.data.get("lost_bytes")
        sentence = GAP_MESSAGES.get(str(reason), f"a part of the log is missing: {reason}")
        reporter.report(sentence + (f" ({lost_bytes} bytes)" if lost_bytes else ""))
    elif event.name == "log_rotated":
        reporter.report(f"the log was {event.data.get('reason')}: its lines start again at 1")
