"""`logs -C`: lines that a search finds in a job's log, and those around them.

It must not know where the options come from.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.log_printer import LogQuery, report_truncated
from marianne_stream.client.output import Output
from marianne_stream.client.sanitize import strip_all_but_colours, strip_controls

# Between lines that do not follow one another, as grep has it.
GROUP_SEPARATOR = "--"


class MatchPage(msgspec.Struct, frozen=True):
    """A page of what was found; the lines as they came, since `--json` prints them so."""

    lines: list[dict[str, Any]]
    before: str | None = None


class MatchLine(LogLineBody, frozen=True):
    """A line of a page."""

    cursor: str = ""


async def print_matches(
    client: ApiClient, output: Output, query: LogQuery, context_lines: int, *, as_json: bool
) -> int:
    """Print the newest lines that are wanted with those around them; return the exit code.

    Raises:
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
    """
    found = await fetch_matches(client, query, context_lines)
    if as_json:
        output.write_objects(
            {"event": "log", "cursor": line["cursor"], "data": without_cursor(line)}
            for line in found
        )
        return 0
    lines = msgspec.convert(found, list[MatchLine])
    shown = strip_all_but_colours if output.has_colours else strip_controls
    output.write(
        GROUP_SEPARATOR if text is None else shown(text) for text in separate_groups(lines)
    )
    report_truncated(client.reporter, lines)
    return 0


async def fetch_matches(
    client: ApiClient, query: LogQuery, context_lines: int
) -> list[dict[str, Any]]:
    """Return the newest lines that are wanted and their context, the oldest first.

    Raises:
        MarianneStreamError: as `print_matches`.
    """
    params = {"context": str(context_lines), **query.filter_params()}
    known: dict[str, dict[str, Any]] = {}
    wanted, before = query.tail_lines, ""
    while wanted > 0:
        place = {"before": before} if before else {}
        page = await client.get_json(
            job_path(query.job_id, "/logs/lines"),
            {**params, **place, "limit": str(wanted)},
            MatchPage,
        )
        # The context of a page may hold lines of the next one, which then are what was looked for.
        older = {line["cursor"]: known.pop(line["cursor"], line) | line for line in page.lines}
        known = {**older, **known}
        wanted -= sum(line.get("match") is True for line in page.lines)
        if page.before is None:
            break
        before = page.before
    return list(known.values())


def without_cursor(line: dict[str, Any]) -> dict[str, Any]:
    """Return what a line says besides its place."""
    return {name: value for name, value in line.items() if name != "cursor"}


def separate_groups(lines: Sequence[MatchLine]) -> Iterator[str | None]:
    """Yield the texts of lines, and None between two that do not follow one another."""
    last = 0
    for line in lines:
        if last and line.line_number != last + 1:
            yield None
        yield line.line
        last = line.line_number
