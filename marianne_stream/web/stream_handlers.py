"""Handlers for streams of a job's status, of the roster and of events."""

from functools import partial

from aiohttp import web

from marianne_stream.feeds.event_feed import EventFeed, EventFilter, open_event_feed
from marianne_stream.feeds.snapshot_feeds import open_roster_feed, open_status_feed
from marianne_stream.feeds.stored_event_feed import StoredEventFeed, open_stored_event_feed
from marianne_stream.web.app_keys import HISTORY, JOB_HUB, STREAM_REGISTRY
from marianne_stream.web.auth_middleware import GRANT
from marianne_stream.web.params import (
    JOB_ID_RESOLVER,
    FlagParameter,
    NumberParameter,
    TextParameter,
    read_job_id,
    read_last_event_id,
)
from marianne_stream.wire.cursors import TimelineCursor

POLL_INTERVAL = NumberParameter(
    "poll_interval",
    "Longest age of a change that no event announces, in seconds.",
    2.0,
    0.1,
    30.0,
    label="Poll interval",
    unit=" seconds",
)
DETAILS = FlagParameter(
    "details",
    "Watch running jobs for their current sheet and last change.",
    default=False,
)
LIMIT = NumberParameter(
    "limit", "Number of existing events that are sent first.", 50, 0, 200, is_integer=True
)
JOB_ID = TextParameter("job_id", "Only events of this job; may be repeated.", is_repeatable=True)
EVENT = TextParameter(
    "event", "Only events whose names begin with this; may be repeated.", is_repeatable=True
)


async def stream_job(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/stream`: the status as it changes, until the job ends."""
    job_id, cursor = read_job_id(request), read_last_event_id(request)
    interval_s = POLL_INTERVAL.read(request)
    hub, streams = request.app[JOB_HUB], request.app[STREAM_REGISTRY]
    streams.require_capacity(request)
    feed = await open_status_feed(
        hub,
        job_id,
        poll_interval_s=interval_s,
        cursor=cursor,
        with_paths=request[GRANT].job_scope.matches_all,
    )
    return streams.open(request, feed)


async def stream_roster(request: web.Request) -> web.StreamResponse:
    """`GET /api/roster/stream`: the roster as it changes."""
    cursor, interval_s = read_last_event_id(request), POLL_INTERVAL.read(request)
    details = DETAILS.read(request)
    streams = request.app[STREAM_REGISTRY]
    streams.require_capacity(request)
    feed = await open_roster_feed(
        request.app[JOB_HUB],
        poll_interval_s=interval_s,
        cursor=cursor,
        details=details,
        job_scope=request[GRANT].job_scope,
    )
    return streams.open(request, feed)


async def stream_job_events(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/events`: the events of a job."""
    job_id = read_job_id(request)
    # Parameters first: an invalid request costs the conductor nothing.
    limit, cursor = int(LIMIT.read(request)), read_last_event_id(request)
    request.app[STREAM_REGISTRY].require_capacity(request)
    await request.app[JOB_HUB].ensure_exists(job_id)
    return await open_event_stream(request, EventFilter(frozenset({job_id})), limit, cursor)


async def stream_all_events(request: web.Request) -> web.StreamResponse:
    """`GET /api/events/stream`: the events of all jobs, or those that pass the filters."""
    wanted = EventFilter(
        frozenset(map(request.app[JOB_ID_RESOLVER], JOB_ID.read_all(request))),
        tuple(EVENT.read_all(request)),
        request[GRANT].job_scope,
    )
    return await open_event_stream(
        request, wanted, int(LIMIT.read(request)), read_last_event_id(request)
    )


async def open_event_stream(
    request: web.Request, event_filter: EventFilter, limit: int, cursor: str
) -> web.StreamResponse:
    """Return the stream of the events that pass a filter."""
    feed = await open_event_feed_at(request, event_filter, limit, cursor)
    return request.app[STREAM_REGISTRY].open(request, feed)


async def open_event_feed_at(
    request: web.Request, event_filter: EventFilter, limit: int, cursor: str
) -> EventFeed | StoredEventFeed:
    """Open the feed of the events that pass a filter, from a cursor on."""
    events, history = request.app[JOB_HUB].events, request.app[HISTORY]
    await events.replay_buffer.wait_caught_up(TimelineCursor.parse(cursor))

    def open_feed(at: str) -> EventFeed:
        return open_event_feed(
            events.replay_buffer,
            event_filter=event_filter,
            limit=limit,
            cursor=at,
            make_source_frame=partial(events.make_source_frame, event_filter),
        )

    feed: EventFeed | StoredEventFeed | None = None
    if history is not None:
        feed = await open_stored_event_feed(
            history.events,
            events.replay_buffer,
            event_filter=event_filter,
            cursor=cursor,
            open_feed=open_feed,
        )
    return feed or open_feed(cursor)
