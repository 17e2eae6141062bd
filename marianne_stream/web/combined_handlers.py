"""Handler for a combined stream: several streams in one connection."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict

from marianne_stream.errors import (
    BadParameterError,
    BadRequestError,
    JobNotFoundError,
    MarianneStreamError,
)
from marianne_stream.feeds.combined_feed import CombinedFeed, OpenFeed, Part
from marianne_stream.feeds.event_feed import EventFilter
from marianne_stream.feeds.feed import Feed, FeedKind
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
from marianne_stream.web.request_ids import REQUEST_ID
from marianne_stream.web.stream_handlers import open_event_feed_at
from marianne_stream.wire import job_ids
from marianne_stream.wire.job_patterns import JobPatterns

MAX_PARTS = 32

# Each event names its part.
MAX_PART_CHARS = 4_000

PART = TextParameter(
    "part",
    "`roster`, or `status:JOB`, `events:JOB` or `log:JOB` with JOB percent-encoded; 1 to 32 times. "
    "The parameters of the part's own stream may follow: `log:JOB?level=error`.",
    is_repeatable=True,
)
CURSOR = TextParameter(
    "cursor",
    "PART,ID: the last id of a part, to resume from; once for each part. PART may be its number in "
    "the order of the parts, from 1.",
    is_repeatable=True,
)

# Kind of the part that a cursor belongs to, by its first character (wire/cursors.py).
CURSOR_KINDS: dict[str, FeedKind] = {
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
    feed = CombinedFeed(parts, request_id=request.get(REQUEST_ID, ""))
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
    return names


def read_cursors(request: web.Request, names: list[str]) -> dict[str, str]:
    """Return the cursors by part; raise BadParameterError for one of no part.

    A plain EventSource gives the last id of the whole stream as Last-Event-ID. If there is one part
    of its kind, it replaces the part's cursor, since an EventSource cannot change its URL. Of
    several states, the one that it identifies resumes, and it is none of the others.
    """
    by_number = {str(number): name for number, name in enumerate(names, 1)}
    found = {}
    for value in CURSOR.read_all(request):
        # A name may have commas, a cursor has none.
        name, comma, cursor = value.rpartition(",")
        name = by_number.get(name, name)
        if not comma or name not in names:
            raise BadParameterError(
                detail="cursor must be PART,ID with the name or number of a part, "
                f"got {repr_truncated(value)}"
            )
        found[name] = cursor[:MAX_CURSOR_CHARS]
    last = read_last_event_id(request)
    kind = CURSOR_KINDS.get(last[:1])
    of_kind = [name for name in names if split_name(name)[0] == kind]
    if len(of_kind) == 1:
        found[of_kind[0]] = last
    elif kind in ("status", "roster"):
        found = dict.fromkeys(of_kind, last) | found
    return found


def split_name(name: str) -> tuple[FeedKind | None, str | None, str]:
    """Return the kind, the job as it is encoded, and the parameters of a part's name.

    The kind is None if there is no such kind, and the job is None if the name has none.
    """
    address, _, query = name.partition("?")
    word, colon, encoded = address.partition(":")
    kind = next((kind for kind in FEEDS if kind == word), None)
    return kind, encoded if colon else None, query


@dataclass(frozen=True, slots=True)
class PartRequest:
    """Request of a part.

    Attributes:
        request: request of the combined stream.
        job_id: the job; "" for the roster.
        query: parameters of the part's own stream.
        cursor: cursor to resume from, or "".
    """

    request: web.Request
    job_id: str
    query: MultiDict[str]
    cursor: str

    @property
    def job_scope(self) -> JobPatterns:
        """The jobs that the client may see."""
        return self.request[GRANT].job_scope


def make_part(request: web.Request, name: str, cursor: str) -> Part:
    """Return a part, whose feed is opened later; raise BadParameterError if it has no kind.

    Anything else that is wrong is an error of this part: the others go on.
    """
    kind, encoded, query = split_name(name)
    if kind is None or (kind == "roster") == (encoded is not None):
        raise BadParameterError(
            detail="part must be roster, status:JOB, events:JOB or log:JOB, got "
            f"{repr_truncated(name)}"
        )
    job_id = None
    try:
        if len(name) > MAX_PART_CHARS:
            raise BadParameterError(detail=f"part must have at most {MAX_PART_CHARS} characters")
        if encoded is not None:
            job_id = resolve_job_id(request, name, encoded)
        parameters = MultiDict(parse_qsl(query, keep_blank_values=True))
        open_feed = FEEDS[kind](PartRequest(request, job_id or "", parameters, cursor))
    except MarianneStreamError as error:
        open_feed = partial(fail, error)
    return Part(name, open_feed, job_id, kind=kind)


def resolve_job_id(request: web.Request, name: str, encoded: str) -> str:
    """Return the job of a part; raise BadRequestError if no job can have the id."""
    try:
        return request.app[JOB_ID_RESOLVER](job_ids.from_path_segment(encoded))
    except ValueError as error:
        raise BadRequestError(detail=f"{error}, got {repr_truncated(name)}") from error


async def fail(error: MarianneStreamError) -> Feed:
    """Raise the error of a part that cannot be opened."""
    raise error


def make_roster_opener(part: PartRequest) -> OpenFeed:
    """Return what opens the feed of the roster."""
    return partial(
        open_roster_feed,
        part.request.app[JOB_HUB],
        poll_interval_s=stream_handlers.POLL_INTERVAL.read(part),
        cursor=part.cursor,
        details=stream_handlers.DETAILS.read(part),
        job_scope=part.job_scope,
    )


def make_status_opener(part: PartRequest) -> OpenFeed:
    """Return what opens the feed of a job's status."""
    interval_s = stream_handlers.POLL_INTERVAL.read(part)

    async def open_feed() -> Feed:
        require_job_in_scope(part)
        return await open_status_feed(
            part.request.app[JOB_HUB],
            part.job_id,
            poll_interval_s=interval_s,
            cursor=part.cursor,
            with_paths=part.job_scope.matches_all,
        )

    return open_feed


def make_events_opener(part: PartRequest) -> OpenFeed:
    """Return what opens the feed of a job's events."""
    event_filter = EventFilter(
        frozenset({part.job_id}), tuple(stream_handlers.EVENT.read_all(part))
    )
    limit = int(stream_handlers.LIMIT.read(part))

    async def open_feed() -> Feed:
        require_job_in_scope(part)
        await part.request.app[JOB_HUB].ensure_exists(part.job_id)
        return await open_event_feed_at(part.request, event_filter, limit, part.cursor)

    return open_feed


def make_log_opener(part: PartRequest) -> OpenFeed:
    """Return what opens the feed of a job's log."""
    part.query.setdefault("wait", "true")
    shows_paths = part.job_scope.matches_all
    log_request = log_stream_handlers.read_log_request(part, part.cursor, shows_paths=shows_paths)

    async def open_feed() -> Feed:
        require_job_in_scope(part)
        return await part.request.app[LOG_FEEDS].open_feed(part.job_id, log_request)

    return open_feed


def require_job_in_scope(part: PartRequest) -> None:
    """Raise JobNotFoundError if the client may not see the job."""
    if not part.job_scope(part.job_id):
        raise JobNotFoundError(part.job_id)


FEEDS: Mapping[FeedKind, Callable[[PartRequest], OpenFeed]] = {
    "roster": make_roster_opener,
    "status": make_status_opener,
    "events": make_events_opener,
    "log": make_log_opener,
}
