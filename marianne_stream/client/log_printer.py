"""`logs` and `files -f`: the last lines of a job's log, or of a file, and new ones."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.cli_errors import CliFileNotFoundError
from marianne_stream.client.line_writer import LineWriter
from marianne_stream.client.log_notices import LogNotices
from marianne_stream.client.log_query import LINE_EVENTS, LogQuery, read_log, resumable_cursor
from marianne_stream.client.output import Output
from marianne_stream.client.partial_line import PartialLineDisplay
from marianne_stream.client.sse_client import StreamEvent, convert_data


async def print_log(client: ApiClient, output: Output, query: LogQuery, *, as_json: bool) -> int:
    """Print lines until the log ends, and return the exit code. Cancelling is safe.

    The exit code is that of CliFileNotFoundError if the job has ended without a log.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    partial_line, exit_code = PartialLineDisplay(output), 0
    writer, notices = LineWriter(output), LogNotices(client.reporter)
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
                    lines = [
                        convert_data(each, LogLineBody) for each in batch if each.name == "log"
                    ]
                    notices.on_lines(lines)
                    if lines:
                        partial_line.erase()
                        writer.write(lines)
                    show_partial_line(writer, batch, partial_line, follow=query.is_following)
                for event in batch:
                    notices.on_event(event)
                    if event.name == "log_complete" and event.data.get("missing") is True:
                        exit_code = CliFileNotFoundError.exit_code
    finally:
        partial_line.close()
    return exit_code


def show_partial_line(
    writer: LineWriter,
    batch: Sequence[StreamEvent],
    partial_line: PartialLineDisplay,
    *,
    follow: bool,
) -> None:
    """Draw the unfinished last line, if it is the newest; without `follow`, print it."""
    newest = next((event for event in reversed(batch) if event.name in LINE_EVENTS), None)
    if newest is not None and newest.name == "log_partial":
        line = convert_data(newest, LogLineBody)
        if follow:
            partial_line.draw(line.line)
        else:
            writer.write([line])
