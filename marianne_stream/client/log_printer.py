"""`logs`: the last lines of a job's log, and new ones."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from rich.cells import cell_len, set_cell_size

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.line_writer import LineWriter
from marianne_stream.client.log_notices import report_log_event, report_truncated
from marianne_stream.client.log_query import LogQuery, read_log, resumable_cursor
from marianne_stream.client.output import Output
from marianne_stream.client.sanitize import strip_controls
from marianne_stream.client.sse_client import StreamEvent, convert_data
from marianne_stream.errors import CliLogNotFoundError

LINE_EVENTS = frozenset({"log", "log_partial"})
CONDUCTOR_LOG_NOTICE = "the job has no log of its own: these are its lines of the conductor's log"

# Carriage return, and erase to the end of the line (ECMA-48, EL).
ERASE_LINE = "\r\x1b[K"


async def print_log(client: ApiClient, output: Output, query: LogQuery, *, as_json: bool) -> int:
    """Print lines until the log ends, and return the exit code. Cancelling is safe.

    The exit code is that of CliLogNotFoundError if the job has ended without a log.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    partial_line, follow, exit_code = PartialLineDisplay(output), query.is_following, 0
    is_labelled, writer = False, LineWriter(output)
    client.reporter.before_report = partial_line.erase
    try:
        async with aclosing(read_log(client, query)) as batches:
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
                    lines = write_lines(writer, batch, partial_line, follow=follow)
                    report_truncated(client.reporter, lines)
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
    writer: LineWriter,
    batch: Sequence[StreamEvent],
    partial_line: PartialLineDisplay,
    *,
    follow: bool,
) -> list[LogLineBody]:
    """Write complete lines, and draw the partial last line; without `follow`, print it."""
    lines = [convert_data(event, LogLineBody) for event in batch if event.name == "log"]
    if lines:
        partial_line.erase()
        writer.write(lines)
    newest = next((event for event in reversed(batch) if event.name in LINE_EVENTS), None)
    if newest is not None and newest.name == "log_partial":
        line = convert_data(newest, LogLineBody)
        if follow:
            partial_line.draw(line.line)
        else:
            writer.write([line])
    return lines
