"""`logs --since`: the place in a log behind which lines are new enough.

It is looked for backwards in pages, by the lines' own times. A line without a time belongs to the
one above it. This module does not know where the options come from.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.sse_client import StreamEvent
from marianne_stream.client.times import parse_iso_time

LINES_PER_PAGE = 1000


# What a page says of a line, and a stream does not.
PAGE_ONLY_FIELDS = frozenset({"cursor", "match"})


class TimedLine(msgspec.Struct, frozen=True):
    """A line of a page, as far as it is needed to find a place."""

    cursor: str
    logged_at: str | None = None


class LinePage(msgspec.Struct, frozen=True):
    """A page of a log; the lines as they came."""

    lines: list[dict[str, Any]]
    before: str | None = None
    source: str = ""


def make_log_event(line: dict[str, Any]) -> StreamEvent:
    """Return a line of a page as the event that a stream has of it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = {name: value for name, value in line.items() if name not in PAGE_ONLY_FIELDS}
    if not data.get("truncated"):
        data.pop("truncated", None)
    return StreamEvent("log", data | {"timestamp": now, "initial": True}, line["cursor"])


@dataclass(frozen=True, slots=True)
class SincePosition:
    """Where to begin.

    Attributes:
        cursor: behind which line; "" if the log has no line yet.
        first_event: a line that comes first, and has none before it: the whole log is new enough.
        has_times: whether any line that was looked at has a time; true if there was none.
    """

    cursor: str = ""
    first_event: StreamEvent | None = None
    has_times: bool = True


async def find_since(
    client: ApiClient, job_id: str, filter_params: dict[str, str], since_s: float
) -> SincePosition:
    """Return the place before the first line that is as new as a time.

    Lines are in the order in which they were written, so the search ends at the first older one.

    Args:
        client: who is asked.
        job_id: whose log.
        filter_params: the parameters that say which lines are wanted.
        since_s: the time, in epoch seconds.

    Raises:
        NoLogError: the job has no log.
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
    """
    cursor, timed, is_first = "", True, False
    first: dict[str, Any] | None = None
    async for found in fetch_newest_first(client, job_id, filter_params):
        line = msgspec.convert(found, TimedLine)
        if not cursor:
            cursor, timed = line.cursor, False
        if is_first:
            # The line above the oldest one that is new enough.
            cursor, is_first = line.cursor, False
        logged_s = parse_iso_time(line.logged_at)
        if logged_s is None:
            continue
        timed = True
        if logged_s < since_s:
            break
        is_first, first = True, found
    if is_first and first is not None:
        event = make_log_event(first)
        return SincePosition(event.cursor, event)
    return SincePosition(cursor, has_times=timed)


async def fetch_newest_first(
    client: ApiClient, job_id: str, filter_params: dict[str, str]
) -> AsyncIterator[dict[str, Any]]:
    """Yield the lines of a log, the newest first; raises as `find_since`."""
    place: dict[str, str] = {}
    while True:
        params = {**filter_params, **place, "limit": str(LINES_PER_PAGE)}
        page = await client.get_json_with_retry(job_path(job_id, "/logs/lines"), params, LinePage)
        # A stream says with each line if it is of the conductor's own log.
        whose = {"source": page.source} if page.source == "conductor" else {}
        for line in reversed(page.lines):
            yield line | whose
        if page.before is None:
            return
        place = {"before": page.before}
