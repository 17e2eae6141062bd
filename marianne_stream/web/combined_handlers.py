"""Handler for a combined stream: several streams in one connection."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from aiohttp import web

from marianne_stream.errors import BadParameterError, JobNotFoundError
from marianne_stream.feeds.combined_feed import CombinedFeed, Part
from marianne_stream.feeds.event_feed import EventFilter
from marianne_stream.feeds.feed import Feed
from marianne_stream.feeds.log_start import LogRequest
from marianne_stream.feeds.snapshot_feeds import open_roster_feed, open_status_feed
from marianne_stream.web import log_stream_handlers, stream_handlers
from marianne_stream.web.app_keys import JOB_HUB, LOG_FEEDS, STREAM_REGISTRY
from marianne_stream.web.auth_middleware import GRANT
from marianne_stream.web.params import (
    JOB_ID_RESOLVER,
    MAX_CURSOR_CHARS,
    TextParameter,
    read_last_event_id,
    repr_truncated,
)
from marianne_stream.web.stream_handlers import open_event_feed_at
from marianne_stream.wire import job_ids

MAX_PARTS = 32

PART = TextParameter(
    "part",
    "`roster`, or `status:JOB`, `events:JOB` or `log:JOB` with JOB percent-encoded; 1 to 32 times.",
    is_repeatable=True,
)
CURSOR = TextParameter(
    "cursor",
    "PART,ID: the last id of a part, to resume from; once for each part.",
    is_repeatable=True,
)

# Kind of the part that a cursor belongs to, by its first character (wire/cursors.py).
CURSOR_KINDS = {
    "r": "roster",
    **dict.fromkeys("sf", "status"),
    "t": "events",
    **dict.fromkeys("lcx", "log"),
}


async def stream_combined(request: web.Request) -> web.StreamResponse:
    """`GET /api/stream`: the roster and jobs' status, events and logs in one stream."""
    names = read_part_names(request)
    cursors = read_cursors(request, names)
    parts = [make_part(request, name, cursors.get(name, "")) for name in names]
    streams = request.app[STREAM_REGISTRY]
    streams.require_capacity(request)
    feed = CombinedFeed(parts)
    try:
        await feed.open()
    except BaseException:
        feed.close()
        raise
    return streams.open(request, feed)


def read_part_names(request: web.Request) -> list[str]:
    """Return the names of the parts; raise BadParameterError if they are invalid."""
    names = list(dict.fromkeys(PART.read_all(request)))
    if not 1 <= len(names) <= MAX_PARTS:
        raise BadParameterError(
            detail=f"part must be given 1 to {MAX_PARTS} times, got it {len(names)} times"
        )
    for name in names:
        kind, colon, job = name.partition(":")
        if name != "roster" and not (kind in JOB_FEEDS and colon and job):
            raise BadParameterError(
                detail="part must be roster, status:JOB, events:JOB or log:JOB, got "
                f"{repr_truncated(name)}"
            )
    return names


def read_cursors(request: web.Request, names: list[str]) -> dict[str, str]:
    """Return the cursors by part; raise BadParameterError for one of no part.

    The Last-Event-ID of a plain EventSource is the cursor of the only part of its kind.
    """
    found = {}
    for value in CURSOR.read_all(request):
        # A name may have commas, a cursor has none.
        name, comma, cursor = value.rpartition(",")
        if not comma or name not in names:
            raise BadParameterError(
                detail=f"cursor must be PART,ID with one of the parts, got {repr_truncated(value)}"
            )
        found[name] = cursor[:MAX_CURSOR_CHARS]
    last = "" if found else read_last_event_id(request)
    kind = CURSOR_KINDS.get(last[:1], "")
    of_kind = [name for name in names if name.partition(":")[0] == kind]
    if len(of_kind) == 1:
        found[of_kind[0]] = last
    return found


def make_part(request: web.Request, name: str, cursor: str) -> Part:
    """Return a part, whose feed is opened later."""
    kind, _, encoded = name.partition(":")
    if kind == "roster":
        return Part(name, partial(open_roster, request, cursor))
    try:
        job_id = request.app[JOB_ID_RESOLVER](job_ids.from_path_segment(encoded))
    except ValueError as error:
        raise BadParameterError(detail=f"{error}, got {repr_truncated(name)}") from error
    open_feed = partial(JOB_FEEDS[kind], request, job_id, cursor)
    return Part(name, open_feed, job_id if kind == "log" else None)


async def open_roster(request: web.Request, cursor: str) -> Feed:
    """Open the feed of the roster."""
    return await open_roster_feed(
        request.app[JOB_HUB],
        poll_interval_s=stream_handlers.POLL_INTERVAL.default,
        cursor=cursor,
        job_scope=request[GRANT].job_scope,
    )


async def open_status(request: web.Request, job_id: str, cursor: str) -> Feed:
    """Open the feed of a job's status."""
    require_job_in_scope(request, job_id)
    return await open_status_feed(
        request.app[JOB_HUB],
        job_id,
        poll_interval_s=stream_handlers.POLL_INTERVAL.default,
        cursor=cursor,
        with_paths=request[GRANT].job_scope.matches_all,
    )


async def open_events(request: web.Request, job_id: str, cursor: str) -> Feed:
    """Open the feed of a job's events."""
    require_job_in_scope(request, job_id)
    await request.app[JOB_HUB].ensure_exists(job_id)
    limit = int(stream_handlers.LIMIT.default)
    return await open_event_feed_at(request, EventFilter(frozenset({job_id})), limit, cursor)


async def open_log(request: web.Request, job_id: str, cursor: str) -> Feed:
    """Open the feed of a job's log."""
    require_job_in_scope(request, job_id)
    log_request = LogRequest(
        cursor,
        int(log_stream_handlers.TAIL_LINES.default),
        line_filter=None,
        source=None,
        follow=True,
        wait=True,
        shows_paths=request[GRANT].job_scope.matches_all,
    )
    return await request.app[LOG_FEEDS].open_feed(job_id, log_request)


def require_job_in_scope(request: web.Request, job_id: str) -> None:
    """Raise JobNotFoundError if the client may not see a job."""
    if not request[GRANT].job_scope(job_id):
        raise JobNotFoundError(job_id)


JOB_FEEDS: Mapping[str, Callable[[web.Request, str, str], Awaitable[Feed]]] = {
    "status": open_status,
    "events": open_events,
    "log": open_log,
}
