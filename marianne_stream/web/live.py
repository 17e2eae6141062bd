"""What is streamed: a job's status, the roster, the timeline.

It must not know what the frames say.
"""

from functools import partial

from aiohttp import web

from marianne_stream.feeds.events import EventFilter, open_event_feed
from marianne_stream.feeds.roster import open_roster_feed
from marianne_stream.feeds.status import open_status_feed
from marianne_stream.web.gate import GRANT
from marianne_stream.web.keys import STREAMS, WATCHES
from marianne_stream.web.params import (
    FlagParameter,
    NumberParameter,
    TextParameter,
    job_id_of,
    last_event_id,
    shown_id,
)
from marianne_stream.wire.cursors import TimelineCursor

POLL_INTERVAL = NumberParameter(
    "poll_interval",
    2.0,
    0.1,
    30.0,
    "How old a change that no event announces may get before it is seen, in seconds.",
    label="Poll interval",
    unit=" seconds",
)
DETAILS = FlagParameter(
    "details",
    default=False,
    description="Whether running jobs are watched for their current sheet and last change.",
)
LIMIT = NumberParameter(
    "limit", 50, 0, 200, "How many of the newest events come first.", whole=True
)
JOB_ID = TextParameter("job_id", "Only events of this job; may be repeated.", repeats=True)
EVENT = TextParameter(
    "event", "Only events whose names begin with this; may be repeated.", repeats=True
)


async def job_stream(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/stream`: status as it changes, to the job's end."""
    job_id, cursor = job_id_of(request), last_event_id(request)
    interval_s = POLL_INTERVAL.read(request)
    watches, streams = request.app[WATCHES], request.app[STREAMS]
    streams.check_room(request)
    feed = await open_status_feed(watches, job_id, poll_interval_s=interval_s, cursor=cursor)
    return streams.answer(request, feed)


async def roster_stream(request: web.Request) -> web.StreamResponse:
    """`GET /api/roster/stream`: the roster as it changes."""
    cursor, interval_s = last_event_id(request), POLL_INTERVAL.read(request)
    details = DETAILS.read(request)
    streams = request.app[STREAMS]
    streams.check_room(request)
    feed = await open_roster_feed(
        request.app[WATCHES],
        poll_interval_s=interval_s,
        cursor=cursor,
        details=details,
        job_scope=request[GRANT].jobs,
    )
    return streams.answer(request, feed)


async def job_events(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/events`: the job's timeline."""
    job_id = job_id_of(request)
    # Parameters first: a request that is wrong costs the conductor nothing.
    limit, cursor = int(LIMIT.read(request)), last_event_id(request)
    request.app[STREAMS].check_room(request)
    await request.app[WATCHES].ensure_exists(job_id)
    return await stream_events(request, EventFilter(frozenset({job_id})), limit, cursor)


async def events(request: web.Request) -> web.StreamResponse:
    """`GET /api/events/stream`: everyone's timeline, or what of it is wanted."""
    wanted = EventFilter(
        frozenset(shown_id(request, job_id) for job_id in JOB_ID.read_all(request)),
        tuple(EVENT.read_all(request)),
        request[GRANT].jobs,
    )
    return await stream_events(request, wanted, int(LIMIT.read(request)), last_event_id(request))


async def stream_events(
    request: web.Request, wanted: EventFilter, limit: int, cursor: str
) -> web.StreamResponse:
    """Streams the wanted part of the timeline."""
    watches = request.app[WATCHES]
    await watches.replay_buffer.wait_caught_up(TimelineCursor.parse(cursor))
    feed = open_event_feed(
        watches.replay_buffer,
        event_filter=wanted,
        limit=limit,
        cursor=cursor,
        make_source_frame=partial(watches.event_intake.make_source_frame, wanted),
    )
    return request.app[STREAMS].answer(request, feed)
