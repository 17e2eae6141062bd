"""A job's log as a stream. It must not know where a log lies, or how it is read."""

from aiohttp import web

from marianne_stream.errors import LogNotFoundError
from marianne_stream.feeds.job_logs import LogSource
from marianne_stream.feeds.log import (
    AwaitedLogFeed,
    LogFeed,
    LogPart,
    LogWish,
    log_feed,
    log_part,
)
from marianne_stream.feeds.log_filter import log_filter
from marianne_stream.logs.filters import PATTERN_LIMIT_CHARS
from marianne_stream.web.keys import FOLLOWED_LOGS, JOB_LOGS, STREAMS
from marianne_stream.web.params import (
    ChoiceParameter,
    FlagParameter,
    NumberParameter,
    TextParameter,
    job_id_of,
    last_event_id,
)
from marianne_stream.web.stream import nothing_new
from marianne_stream.wire.cursors import LogCursor

TAIL_LINES = NumberParameter(
    "tail_lines", 100, 0, 1000, "How many of the newest lines come first.", whole=True
)
FOLLOW = FlagParameter("follow", default=True, description="Whether to go on with what comes.")
WAIT = FlagParameter(
    "wait", default=False, description="Whether to wait for a log that is not there yet."
)
SOURCE = ChoiceParameter(
    "source",
    ("job", "conductor"),
    "Which log: the job's own file, or the conductor's lines of the job; else the first there is.",
)
CONTAINS = TextParameter("contains", "Only lines that hold this text.")
REGEX = TextParameter(
    "regex",
    "Only lines in which this regular expression (RE2) is found.",
    most=PATTERN_LIMIT_CHARS,
)
LEVEL = ChoiceParameter(
    "level", ("debug", "info", "warning", "error"), "Only lines of this level, or a graver one."
)
FILTERS = (CONTAINS, REGEX, LEVEL)

# How often a log is looked for that is not there.
WAIT_INTERVAL_S = 0.25


async def logs(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/logs`: the log as it is written, to the job's end."""
    job_id, cursor = job_id_of(request), last_event_id(request)
    tail_lines, source = int(TAIL_LINES.read(request)), source_of(request)
    follow, wait = FOLLOW.read(request), WAIT.read(request)
    only = log_filter(
        contains=CONTAINS.read(request), regex=REGEX.read(request), level=LEVEL.read(request)
    )
    seen = LogCursor.parse(cursor)
    if not follow and seen is not None and seen.kind == "x":
        return nothing_new()
    request.app[STREAMS].check_room(request)
    job_logs, followed = request.app[JOB_LOGS], request.app[FOLLOWED_LOGS]
    folders = await job_logs.folders(job_id)

    async def open_feed() -> LogFeed | LogPart:
        latest = await job_logs.folders(job_id)
        log = await job_logs.find(job_id, latest, source)
        wish = LogWish(cursor, tail_lines, only, latest.over)
        if not follow:
            return await log_part(log, wish)
        return await log_feed(followed, log, job_id, wish)

    async def is_over() -> bool:
        return (await job_logs.folders(job_id)).over

    feed: LogFeed | LogPart | AwaitedLogFeed
    try:
        feed = await open_feed()
    except LogNotFoundError:
        if not wait:
            raise
        if folders.over and seen is not None and seen.kind != "l":
            return nothing_new()
        feed = AwaitedLogFeed(open_feed, is_over, interval_s=WAIT_INTERVAL_S)
    return request.app[STREAMS].answer(request, feed)


def source_of(request: web.Request) -> LogSource | None:
    """Which log a request wants."""
    word = SOURCE.read(request)
    return "job" if word == "job" else "conductor" if word == "conductor" else None
