"""Handler for a log as a stream."""

from aiohttp import web

from marianne_stream.feeds.log_feeds import LogFeedProvider
from marianne_stream.feeds.log_locator import LogSource
from marianne_stream.feeds.log_start import LogRequest
from marianne_stream.logs.filters import make_line_filter
from marianne_stream.logs.regex import PATTERN_LIMIT_CHARS
from marianne_stream.web.app_keys import LOG_FEEDS, STREAM_REGISTRY
from marianne_stream.web.auth_middleware import GRANT
from marianne_stream.web.params import (
    ChoiceParameter,
    FlagParameter,
    HasQuery,
    NumberParameter,
    TextParameter,
    read_job_id,
    read_last_event_id,
)
from marianne_stream.wire.log_levels import LEVELS

TAIL_LINES = NumberParameter(
    "tail_lines", "Number of existing lines that are sent first.", 100, 0, 1000, is_integer=True
)
FOLLOW = FlagParameter("follow", "Continue with new lines.", default=True)
WAIT = FlagParameter("wait", "Wait for a log that does not exist yet.", default=False)
SOURCE = ChoiceParameter(
    "source",
    "The job's own file or the conductor's lines of the job; default: the first that exists.",
    ("job", "conductor"),
)
CONTAINS = TextParameter("contains", "Only lines that hold this text.")
REGEX = TextParameter(
    "regex",
    "Only lines in which this regular expression (RE2) is found.",
    max_chars=PATTERN_LIMIT_CHARS,
)
LEVEL = ChoiceParameter("level", "Only lines of this level, or a graver one.", LEVELS)
STREAM_PARAMETERS = (TAIL_LINES, FOLLOW, WAIT)
FILTER_PARAMETERS = (CONTAINS, REGEX, LEVEL)


async def stream_log(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/logs`: the log as it is written, until the job ends."""
    return await open_log_stream(request, request.app[LOG_FEEDS])


async def open_log_stream(request: web.Request, feeds: LogFeedProvider) -> web.StreamResponse:
    """Return the requested stream of the log that a provider has feeds of."""
    job_id, cursor = read_job_id(request), read_last_event_id(request)
    shows_paths = request[GRANT].job_scope.matches_all
    log_request = read_log_request(request, cursor, shows_paths=shows_paths)
    request.app[STREAM_REGISTRY].require_capacity(request)
    feed = await feeds.open_feed(job_id, log_request)
    return request.app[STREAM_REGISTRY].open(request, feed)


def read_log_request(parameters: HasQuery, cursor: str, *, shows_paths: bool) -> LogRequest:
    """Return the request of a client for a log; raise BadParameterError if it is invalid."""
    line_filter = make_line_filter(
        contains=CONTAINS.read(parameters),
        regex=REGEX.read(parameters),
        level=LEVEL.read(parameters),
    )
    return LogRequest(
        cursor,
        int(TAIL_LINES.read(parameters)),
        line_filter=line_filter,
        source=read_log_source(parameters),
        follow=FOLLOW.read(parameters),
        wait=WAIT.read(parameters),
        shows_paths=shows_paths,
    )


def read_log_source(parameters: HasQuery) -> LogSource | None:
    """Return the log that a request asks for; None for the first that exists."""
    word = SOURCE.read(parameters)
    return "job" if word == "job" else "conductor" if word == "conductor" else None
