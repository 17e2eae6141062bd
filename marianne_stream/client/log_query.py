"""Queries of a job's log: past lines, and new ones."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.log_since import SincePosition, find_since
from marianne_stream.client.sse_client import SSEClient, StreamEvent
from marianne_stream.client.times import parse_iso_time
from marianne_stream.errors import CliLogNotFoundError
from marianne_stream.wire.cursors import LogCursor

# Maximum that the server sends to a client whose cursor has expired.
MAX_TAIL_LINES = 1000


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Query of log lines.

    A `cursor` is the line to start after, and `since_s` the time to start at, by the lines'
    timestamps, both instead of `tail_lines`. The query ends with the last line of `until_s`.
    `level` is the minimum level. "" stands for none.
    """

    job_id: str
    tail_lines: int
    is_following: bool = False
    cursor: str = ""
    since_s: float | None = None
    until_s: float | None = None
    level: str = ""
    regex: str = ""

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
            job_path(self.job_id, "/logs"),
            params,
            resume_params={"tail_lines": str(MAX_TAIL_LINES)},
            cursor=resumable_cursor(self.cursor),
        )


async def read_log(client: ApiClient, query: LogQuery) -> AsyncGenerator[list[StreamEvent], None]:
    """Yield the events of a query in batches until it ends. Cancelling is safe.

    Raises:
        CliLogNotFoundError: the job has no log, and the query does not follow it.
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    query, first = await resolve_since(client, query)
    async with aclosing(batches_after(query.make_stream(client), first)) as batches:
        async for batch in batches:
            kept = batch if query.until_s is None else list(take_until(batch, query.until_s))
            yield kept
            if len(kept) < len(batch):
                return


def take_until(batch: Sequence[StreamEvent], until_s: float) -> Iterator[StreamEvent]:
    """Yield events up to the first line that is newer; a line without a time is not."""
    for event in batch:
        logged_s = parse_iso_time(event.data.get("logged_at"))
        if logged_s is not None and logged_s > until_s:
            return
        yield event


async def resolve_since(client: ApiClient, query: LogQuery) -> tuple[LogQuery, StreamEvent | None]:
    """Resolve `since_s` to a cursor, and perhaps an event that comes before the stream.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    if query.since_s is None:
        return query, None
    try:
        position = await find_since(client, query.job_id, query.filter_params(), query.since_s)
    except CliLogNotFoundError:
        if not query.is_following:
            raise
        # The stream waits for the log, and all of its lines will be new.
        position = SincePosition()
    if not position.has_times:
        client.reporter.report("no line of this log has a timestamp: none is found by its time")
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
