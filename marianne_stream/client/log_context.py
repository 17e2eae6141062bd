"""`logs -C`: lines that a search finds in a job's log, and those around them.

It must not know where the options come from.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from marianne_stream.client.address import job_path
from marianne_stream.client.answers import Line
from marianne_stream.client.cleaning import clean, coloured
from marianne_stream.client.logs import LogWish, say_cut
from marianne_stream.client.output import Output
from marianne_stream.client.server import Server

# Between lines that do not follow one another, as grep has it.
PARTED = "--"


class FoundLines(msgspec.Struct, frozen=True):
    """A page of what was found; the lines as they came, since `--json` prints them so."""

    lines: list[dict[str, Any]]
    before: str | None = None


class FoundLine(Line, frozen=True):
    """A line of a page."""

    cursor: str = ""


async def show_found(
    server: Server, output: Output, wish: LogWish, context: int, *, as_json: bool
) -> int:
    """Print the newest lines that are wanted with those around them; return the exit code.

    Raises:
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
    """
    found = await found_lines(server, wish, context)
    if as_json:
        output.write_objects(
            {"event": "log", "cursor": line["cursor"], "data": data_of(line)} for line in found
        )
        return 0
    lines = msgspec.convert(found, list[FoundLine])
    shown = coloured if output.coloured else clean
    output.write(PARTED if text is None else shown(text) for text in parted(lines))
    say_cut(server.notes, lines)
    return 0


async def found_lines(server: Server, wish: LogWish, context: int) -> list[dict[str, Any]]:
    """Return the newest lines that are wanted and their context, the oldest first.

    Raises:
        MarianneStreamError: as `show_found`.
    """
    params = {"context": str(context), **wish.filters()}
    known: dict[str, dict[str, Any]] = {}
    wanted, before = wish.lines, ""
    while wanted > 0:
        place = {"before": before} if before else {}
        page = await server.ask(
            job_path(wish.job_id, "/logs/lines"),
            {**params, **place, "limit": str(wanted)},
            FoundLines,
        )
        # The context of a page may hold lines of the next one, which then are what was looked for.
        older = {line["cursor"]: known.pop(line["cursor"], line) | line for line in page.lines}
        known = {**older, **known}
        wanted -= sum(line.get("match") is True for line in page.lines)
        if page.before is None:
            break
        before = page.before
    return list(known.values())


def data_of(line: dict[str, Any]) -> dict[str, Any]:
    """Return what a line says besides its place."""
    return {name: value for name, value in line.items() if name != "cursor"}


def parted(lines: Sequence[FoundLine]) -> Iterator[str | None]:
    """Yield the texts of lines, and None between two that do not follow one another."""
    last = 0
    for line in lines:
        if last and line.line_number != last + 1:
            yield None
        yield line.line
        last = line.line_number
