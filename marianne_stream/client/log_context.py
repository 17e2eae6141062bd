"""`logs -C`: matching lines of a job's log, with lines around them."""

import math
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import Any

import msgspec

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import LogLineBody, LogPageBody
from marianne_stream.client.line_writer import LineWriter
from marianne_stream.client.log_notices import LogNotices
from marianne_stream.client.log_query import LogQuery, resolve_sheet
from marianne_stream.client.output import Output
from marianne_stream.client.times import parse_iso_time

LINES_PER_PAGE = 1000


async def print_matches(
    client: ApiClient, output: Output, query: LogQuery, context_lines: int, *, as_json: bool
) -> int:
    """Print the newest matching lines with their context, and return the exit code.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    resolved = await resolve_sheet(client, query)
    matches = [] if resolved is None else await fetch_matches(client, resolved, context_lines)
    if as_json:
        output.write_objects(
            {"event": "log", "cursor": line.pop("cursor"), "data": line} for line in matches
        )
        return 0
    lines = msgspec.convert(matches, list[LogLineBody])
    LogNotices(client.reporter).on_lines(lines)
    writer = LineWriter(output)
    for index, group in enumerate(separate_groups(lines)):
        if index:
            writer.write_separator()
        writer.write(group)
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
    since_s, before = query.since_s, ""
    missing_count = query.tail_lines if since_s is None else LINES_PER_PAGE
    while missing_count > 0:
        position = {"before": before} if before else {}
        page = await client.get_json_with_retry(
            query.lines_path,
            {**params, **position, "limit": str(missing_count)},
            LogPageBody,
        )
        # In a stream, each line of the conductor's log has this field.
        source = {"source": page.source} if page.source == "conductor" else {}
        # A context line may come again as a match of the next page.
        older = {
            line["cursor"]: known.pop(line["cursor"], line) | line | source for line in page.lines
        }
        known = {**older, **known}
        if since_s is None:
            missing_count -= sum(line.get("match") is True for line in page.lines)
        elif begins_before(page.lines, since_s, client.clock.zone):
            break
        if page.before is None:
            break
        before = page.before
    lines = list(known.values())
    if since_s is None:
        return lines
    return list(lines_between(lines, since_s, query.until_s, client.clock.zone))


def begins_before(
    lines: Sequence[dict[str, Any]], since_s: float, zone: tzinfo | None = None
) -> bool:
    """Return whether the first line with a time is older."""
    times = (parse_iso_time(line.get("logged_at"), zone) for line in lines)
    first_s = next((time_s for time_s in times if time_s is not None), since_s)
    return first_s < since_s


def lines_between(
    lines: Sequence[dict[str, Any]],
    since_s: float,
    until_s: float | None,
    zone: tzinfo | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the lines with a time in a span; a time without an offset is of the zone.

    A line without a time has that of the line above, or else of the next line, if it is adjacent.
    """
    last_s = math.inf if until_s is None else until_s
    times = [parse_iso_time(line.get("logged_at"), zone) for line in lines]
    neighbours = [(index, index - 1) for index in range(1, len(lines))]
    for index, other in [*neighbours, *((other, index) for index, other in neighbours[::-1])]:
        distance = lines[index]["line_number"] - lines[other]["line_number"]
        if times[index] is None and distance == index - other:
            times[index] = times[other]
    for line, time_s in zip(lines, times, strict=True):
        if time_s is not None and since_s <= time_s <= last_s:
            yield line


def separate_groups(lines: Sequence[LogLineBody]) -> Iterator[list[LogLineBody]]:
    """Yield groups of adjacent lines."""
    group: list[LogLineBody] = []
    for line in lines:
        if group and line.line_number != group[-1].line_number + 1:
            yield group
            group = []
        group.append(line)
    if group:
        yield group
