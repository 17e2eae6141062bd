"""Queries of a job's log or of a file in its workspace: past lines, and new ones."""

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import SheetTimesBody
from marianne_stream.client.cli_errors import CliError, CliFileNotFoundError
from marianne_stream.client.facts import has_begun
from marianne_stream.client.log_since import SincePosition, find_since
from marianne_stream.client.sse_client import SSEClient, StreamEvent
from marianne_stream.client.times import parse_iso_time
from marianne_stream.wire.cursors import LogCursor

# Events with a line, complete or not.
LINE_EVENTS = frozenset({"log", "log_partial"})

# Maximum that the server sends to a client whose cursor has expired.
MAX_TAIL_LINES = 1000

# Times of a sheet that the server has seen itself may be late by the interval between two visits.
OBSERVED_SLACK_S = 1.0

# Lines of several writers are out of order by less.
MAX_DISORDER_S = 60.0


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Query of log lines.

    A `cursor` is the line to start after, and `since_s` the time to start at, by the lines'
    timestamps, both instead of `tail_lines`. With `until_s`, the query has only lines with a time
    from `since_s` to `until_s`, and ends behind them. A `sheet` stands for the time of its attempt.
    `level` is the minimum level. `file` is the percent-encoded path of a file of the workspace, to
    read instead of the log. "" stands for none.
    """

    job_id: str
    tail_lines: int
    is_following: bool = False
    cursor: str = ""
    since_s: float | None = None
    until_s: float | None = None
    sheet: int | None = None
    level: str = ""
    regex: str = ""
    file: str = ""

    @property
    def lines_path(self) -> str:
        """Return the path of the endpoint of its pages."""
        return job_path(self.job_id, f"/file-lines/{self.file}" if self.file else "/logs/lines")

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
            job_path(self.job_id, f"/file-stream/{self.file}" if self.file else "/logs"),
            params,
            resume_params={"tail_lines": str(MAX_TAIL_LINES)},
            cursor=resumable_cursor(self.cursor),
        )


async def read_log(client: ApiClient, query: LogQuery) -> AsyncGenerator[list[StreamEvent], None]:
    """Yield the events of a query in batches until it ends. Cancelling is safe.

    Raises:
        CliFileNotFoundError: the job has no log, and the query does not follow it.
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    resolved = await resolve_sheet(client, query)
    if resolved is None:
        return
    query, first = await resolve_since(client, resolved)
    span = SpanFilter(client, query)
    async with aclosing(batches_after(query.make_stream(client), first)) as batches:
        async for batch in batches:
            yield span.select(batch)
            if span.is_over:
                return


class SpanFilter:
    """Filter of events by the times of their lines; a line without a time belongs to the one above.

    Attributes:
        is_over: True if no later line can be within the time of the query.
    """

    def __init__(self, client: ApiClient, query: LogQuery) -> None:
        self._clock = client.clock
        self._first_s = query.since_s or -math.inf
        self._last_s = query.until_s
        self._is_inside = True
        self.is_over = False

    def select(self, batch: list[StreamEvent]) -> list[StreamEvent]:
        """Return the events of a batch that pass."""
        return batch if self._last_s is None else list(filter(self._passes, batch))

    def _passes(self, event: StreamEvent) -> bool:
        if self._last_s is None or event.name not in LINE_EVENTS:
            return True
        logged_s = parse_iso_time(event.data.get("logged_at"), self._clock.zone)
        if logged_s is not None:
            self._is_inside = self._first_s <= logged_s <= self._last_s
            self.is_over = self.is_over or logged_s > self._last_s + MAX_DISORDER_S
        return self._is_inside


async def resolve_sheet(client: ApiClient, query: LogQuery) -> LogQuery | None:
    """Resolve `sheet` to the time of its attempt; return None if it has not started.

    Raises:
        CliJobNotFoundError: the job or the sheet does not exist.
        CliError: the start of the sheet is unknown.
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    if query.sheet is None:
        return query
    sheet = await client.get_json_with_retry(
        job_path(query.job_id, f"/sheets/{query.sheet}"), {}, SheetTimesBody
    )
    started_s, ended_s = parse_iso_time(sheet.started_at), parse_iso_time(sheet.completed_at)
    if started_s is None and has_begun(sheet):
        raise CliError(
            f"the start of sheet {query.sheet} is unknown, so its lines cannot be told from others"
        )
    if started_s is None:
        client.reporter.report(f"{query.job_id}: sheet {query.sheet} has not started")
        return None
    slack_s = OBSERVED_SLACK_S if sheet.observed else 0.0
    # Lines may have a time in whole seconds, rounded down.
    return replace(
        query,
        sheet=None,
        since_s=math.floor(started_s - slack_s),
        until_s=math.inf if ended_s is None else ended_s + slack_s,
    )


async def resolve_since(client: ApiClient, query: LogQuery) -> tuple[LogQuery, StreamEvent | None]:
    """Resolve `since_s` to a cursor, and perhaps an event that comes before the stream.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    if query.since_s is None:
        return query, None
    try:
        position = await find_since(client, query.lines_path, query.filter_params(), query.since_s)
    except CliFileNotFoundError:
        if not query.is_following:
            raise
        # The stream waits for the log, and all of its lines will be new.
        position = SincePosition()
    if not position.has_times:
        client.reporter.report("the newest lines have no time: none is found by it")
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
