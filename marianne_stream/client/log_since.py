"""`logs --since`: position of the first line that is new enough.

The server finds the line by the lines' own times, which it takes to ascend.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import LogPageBody
from marianne_stream.client.sse_client import StreamEvent

# Lines around the first one that is new enough, or at the end of the log.
LINES_AROUND = 100

# Fields that a line has on a page but not in a stream.
PAGE_ONLY_FIELDS = frozenset({"cursor", "match"})


@dataclass(frozen=True, slots=True)
class SincePosition:
    """Result of the search.

    Attributes:
        cursor: line to start after; "" if the log has no lines yet.
        first_event: line to print first, if the whole log is new enough.
        has_times: False if there are lines, and none of the newest has a time.
    """

    cursor: str = ""
    first_event: StreamEvent | None = None
    has_times: bool = True


async def find_since(
    client: ApiClient, path: str, filter_params: dict[str, str], since_s: float
) -> SincePosition:
    """Find the position before the first line that is as new as `since_s` (epoch seconds).

    `path` is that of the endpoint of pages.

    Raises:
        CliFileNotFoundError: the job has no log.
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    params = {"time": format_utc(since_s), "limit": str(LINES_AROUND)}
    page = await client.get_json_with_retry(path, params, LogPageBody)
    if page.target is None:
        # All lines are older.
        has_times = not page.lines or any(line.get("logged_at") for line in page.lines)
        return SincePosition(page.after or "", has_times=has_times)
    cursors = [line["cursor"] for line in page.lines]
    # An unfinished last line can be the first new one, and is not among the lines.
    index = cursors.index(page.target) if page.target in cursors else len(cursors)
    if index:
        return SincePosition(cursors[index - 1])
    if page.before is not None:
        # The line before was not found in time. The position after this page is in front of all
        # that the server has searched.
        params = {"before": page.target, "limit": "1"}
        page = await client.get_json_with_retry(path, params, LogPageBody)
        if page.lines or page.before is not None:
            return SincePosition(page.after or "")
    # A stream starts after a line, and there is none before the first.
    params = {"from": "start", "limit": "1", **filter_params}
    page = await client.get_json_with_retry(path, params, LogPageBody)
    first = make_log_event(page.lines[0], page.source) if page.lines else None
    return SincePosition(page.after or "" if first is None else first.cursor, first)


def format_utc(epoch_s: float) -> str:
    """Format a time as the server reads it; one before the epoch as its beginning."""
    return datetime.fromtimestamp(max(0.0, epoch_s), UTC).isoformat()


def make_log_event(line: dict[str, Any], source: str) -> StreamEvent:
    """Convert a line of a page to the event of a stream."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = {name: value for name, value in line.items() if name not in PAGE_ONLY_FIELDS}
    if not data.get("truncated"):
        data.pop("truncated", None)
    if source == "conductor":
        # In a stream, each line of the conductor's log has this field.
        data["source"] = source
    return StreamEvent("log", data | {"timestamp": now, "initial": True}, line["cursor"])
