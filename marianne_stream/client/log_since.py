"""`logs --since`: search for the first line that is new enough.

The search reads pages backwards, by the lines' timestamps. A line without a timestamp belongs to
the line above it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import LogPageBody
from marianne_stream.client.sse_client import StreamEvent
from marianne_stream.client.times import parse_iso_time

LINES_PER_PAGE = 1000


# Fields that a line has on a page but not in a stream.
PAGE_ONLY_FIELDS = frozenset({"cursor", "match"})


class TimedLine(msgspec.Struct, frozen=True):
    """Fields of a line that the search uses."""

    cursor: str
    logged_at: str | None = None


def make_log_event(line: dict[str, Any]) -> StreamEvent:
    """Convert a line of a page to the event of a stream."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = {name: value for name, value in line.items() if name not in PAGE_ONLY_FIELDS}
    if not data.get("truncated"):
        data.pop("truncated", None)
    return StreamEvent("log", data | {"timestamp": now, "initial": True}, line["cursor"])


@dataclass(frozen=True, slots=True)
class SincePosition:
    """Result of the search.

    Attributes:
        cursor: line to start after; "" if the log has no lines yet.
        first_event: line to print first, which has none before it: the whole log is new enough.
        has_times: False if there are lines and none has a timestamp.
    """

    cursor: str = ""
    first_event: StreamEvent | None = None
    has_times: bool = True


async def find_since(
    client: ApiClient, job_id: str, filter_params: dict[str, str], since_s: float
) -> SincePosition:
    """Find the position before the first line that is as new as `since_s` (epoch seconds).

    Lines are in the order in which they were written: the search ends at the first older line.

    Raises:
        CliLogNotFoundError: the job has no log.
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    cursor, has_times, is_first = "", True, False
    first: dict[str, Any] | None = None
    async for fields in fetch_newest_first(client, job_id, filter_params):
        line = msgspec.convert(fields, TimedLine)
        if not cursor:
            cursor, has_times = line.cursor, False
        if is_first:
            # The line before the oldest line that is new enough.
            cursor, is_first = line.cursor, False
        logged_s = parse_iso_time(line.logged_at)
        if logged_s is None:
            continue
        has_times = True
        if logged_s < since_s:
            break
        is_first, first = True, fields
    if is_first and first is not None:
        event = make_log_event(first)
        return SincePosition(event.cursor, event)
    return SincePosition(cursor, has_times=has_times)


async def fetch_newest_first(
    client: ApiClient, job_id: str, filter_params: dict[str, str]
) -> AsyncIterator[dict[str, Any]]:
    """Yield the lines of a log, newest first; raises as `find_since` does."""
    position: dict[str, str] = {}
    while True:
        params = {**filter_params, **position, "limit": str(LINES_PER_PAGE)}
        page = await client.get_json_with_retry(
            job_path(job_id, "/logs/lines"), params, LogPageBody
        )
        # In a stream, each line of the conductor's log has this field.
        source = {"source": page.source} if page.source == "conductor" else {}
        for line in reversed(page.lines):
            yield line | source
        if page.before is None:
            return
        position = {"before": page.before}
