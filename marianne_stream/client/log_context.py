"""`logs -C`: matching lines of a job's log, with lines around them."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import LogLineBody, LogPageBody
from marianne_stream.client.log_printer import LogQuery, report_truncated
from marianne_stream.client.output import Output
from marianne_stream.client.sanitize import strip_all_but_colours, strip_controls

# Separator of groups of adjacent lines, as grep prints it.
GROUP_SEPARATOR = "--"


async def print_matches(
    client: ApiClient, output: Output, query: LogQuery, context_lines: int, *, as_json: bool
) -> int:
    """Print the newest matching lines with their context, and return the exit code.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    matches = await fetch_matches(client, query, context_lines)
    if as_json:
        output.write_objects(
            {"event": "log", "cursor": line.pop("cursor"), "data": line} for line in matches
        )
        return 0
    lines = msgspec.convert(matches, list[LogLineBody])
    sanitize = strip_all_but_colours if output.has_colours else strip_controls
    output.write(
        GROUP_SEPARATOR if text is None else sanitize(text) for text in separate_groups(lines)
    )
    report_truncated(client.reporter, lines)
    return 0


async def fetch_matches(
    client: ApiClient, query: LogQuery, context_lines: int
) -> list[dict[str, Any]]:
    """Return the newest matching lines and their context, oldest first.

    Raises:
        MarianneStreamError: as `print_matches`.
    """
    params = {"context": str(context_lines), **query.filter_params()}
    known: dict[str, dict[str, Any]] = {}
    missing_count, before = query.tail_lines, ""
    while missing_count > 0:
        position = {"before": before} if before else {}
        page = await client.get_json(
            job_path(query.job_id, "/logs/lines"),
            {**params, **position, "limit": str(missing_count)},
            LogPageBody,
        )
        # A context line may come again as a match of the next page.
        older = {line["cursor"]: known.pop(line["cursor"], line) | line for line in page.lines}
        known = {**older, **known}
        missing_count -= sum(line.get("match") is True for line in page.lines)
        if page.before is None:
            break
        before = page.before
    return list(known.values())


def separate_groups(lines: Sequence[LogLineBody]) -> Iterator[str | None]:
    """Yield the texts of lines, with None between lines that are not adjacent."""
    last_number = 0
    for line in lines:
        if last_number and line.line_number != last_number + 1:
            yield None
        yield line.line
        last_number = line.line_number
