"""Table of routes: the router and `/openapi.json` are both made from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler

from marianne_stream.schemas import (
    GapData,
    HealthData,
    HeartbeatData,
    JobDeletedData,
    JobDetail,
    JobFinishedData,
    JobPage,
    JobSheetsData,
    JobStatusData,
    LogCompleteData,
    LogData,
    LogGapData,
    LogInfo,
    LogMissingData,
    LogPage,
    LogPartialData,
    LogRotatedData,
    Payload,
    ReadyData,
    RosterData,
    SourceData,
    StreamErrorData,
)
from marianne_stream.web import (
    job_handlers,
    log_download_handlers,
    log_page_handlers,
    log_stream_handlers,
    meta_handlers,
    stream_handlers,
)
from marianne_stream.web.params import LAST_EVENT_ID, Parameter

EventModels = Mapping[str, type[Payload]]

# On every stream.
COMMON_EVENTS: EventModels = {
    "source": SourceData,
    "heartbeat": HeartbeatData,
    "stream_error": StreamErrorData,
}
STATUS_EVENTS: EventModels = {
    "job_status": JobStatusData,
    "job_sheets": JobSheetsData,
    "job_finished": JobFinishedData,
    "job_deleted": JobDeletedData,
    **COMMON_EVENTS,
}
ROSTER_EVENTS: EventModels = {"roster": RosterData, **COMMON_EVENTS}

LOG_EVENTS: EventModels = {
    "log": LogData,
    "log_partial": LogPartialData,
    "log_rotated": LogRotatedData,
    "log_gap": LogGapData,
    "log_missing": LogMissingData,
    "log_complete": LogCompleteData,
    "stream_error": StreamErrorData,
}

# Besides these, such a stream has the conductor's own events under their own names.
TIMELINE_EVENTS: EventModels = {"gap": GapData, **COMMON_EVENTS}


@dataclass(frozen=True, slots=True)
class Route:
    """Route.

    Attributes:
        model: schema of a 200 that is JSON.
        events: schemas of a stream's events, by name.
        has_conductor_events: whether the stream also has the conductor's own events.
        content_type: media type of a 200 that is not a stream.
        errors: statuses of errors, and their causes.
    """

    path: str
    handler: Handler
    summary: str
    model: type[Payload] | None = None
    events: EventModels | None = None
    has_conductor_events: bool = False
    content_type: str = "application/json"
    parameters: tuple[Parameter, ...] = ()
    errors: Mapping[int, str] = field(default_factory=dict)


BAD_REQUEST = {400: "A parameter is not valid."}
NOT_FOUND = {404: "There is no such job."}
UNAVAILABLE = {503: "Neither the conductor nor another source of state can be asked."}
LOG_ERRORS = {
    400: "A parameter or the job id is not valid.",
    403: "What lies where the log should may not be read.",
    404: "There is no such job, or it has no log.",
    **UNAVAILABLE,
}
JOB_ERRORS = {400: "A parameter or the job id is not valid.", **NOT_FOUND, **UNAVAILABLE}

ROUTES = (
    Route(
        "/api/jobs",
        job_handlers.list_jobs,
        "The roster, in pages, newest first.",
        model=JobPage,
        parameters=(job_handlers.STATUS, job_handlers.NAME, job_handlers.LIMIT, job_handlers.AFTER),
        errors={**BAD_REQUEST, **UNAVAILABLE},
    ),
    Route(
        "/api/roster/stream",
        stream_handlers.stream_roster,
        "The roster as it changes.",
        events=ROSTER_EVENTS,
        parameters=(stream_handlers.POLL_INTERVAL, stream_handlers.DETAILS, LAST_EVENT_ID),
        errors={**BAD_REQUEST, **UNAVAILABLE},
    ),
    Route(
        "/api/jobs/{job_id}",
        job_handlers.get_job,
        "One job with its sheets.",
        model=JobDetail,
        errors=JOB_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/status",
        job_handlers.get_job_status,
        "One job's status, as a job_status event has it.",
        model=JobStatusData,
        errors=JOB_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/stream",
        stream_handlers.stream_job,
        "One job's status as it changes, until the job ends.",
        events=STATUS_EVENTS,
        parameters=(stream_handlers.POLL_INTERVAL, LAST_EVENT_ID),
        errors=JOB_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/events",
        stream_handlers.stream_job_events,
        "One job's timeline.",
        events=TIMELINE_EVENTS,
        has_conductor_events=True,
        parameters=(stream_handlers.LIMIT, LAST_EVENT_ID),
        errors=JOB_ERRORS,
    ),
    Route(
        "/api/events/stream",
        stream_handlers.stream_all_events,
        "Everyone's timeline, or what of it is wanted.",
        events=TIMELINE_EVENTS,
        has_conductor_events=True,
        parameters=(
            stream_handlers.LIMIT,
            stream_handlers.JOB_ID,
            stream_handlers.EVENT,
            LAST_EVENT_ID,
        ),
        errors=BAD_REQUEST,
    ),
    Route(
        "/api/jobs/{job_id}/logs",
        log_stream_handlers.stream_log,
        "One job's log as it is written, to the job's end.",
        events=LOG_EVENTS,
        parameters=(
            log_stream_handlers.TAIL_LINES,
            log_stream_handlers.FOLLOW,
            log_stream_handlers.WAIT,
            log_stream_handlers.SOURCE,
            *log_stream_handlers.FILTER_PARAMETERS,
            LAST_EVENT_ID,
        ),
        errors=LOG_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/logs/static",
        log_download_handlers.download_log_text,
        "One job's log as a text to keep, five lines about it first.",
        content_type="text/plain",
        parameters=(log_stream_handlers.SOURCE,),
        errors={**LOG_ERRORS, 413: "The log is larger than max_download_bytes."},
    ),
    Route(
        "/api/jobs/{job_id}/logs/raw",
        log_download_handlers.download_log_file,
        "The log file itself, of any size.",
        content_type="text/plain",
        parameters=(log_stream_handlers.SOURCE,),
        errors=LOG_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/logs/info",
        log_download_handlers.get_log_info,
        "How large one job's log is, and where a stream would go on.",
        model=LogInfo,
        parameters=(log_stream_handlers.SOURCE,),
        errors=LOG_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/logs/lines",
        log_page_handlers.get_log_page,
        "One job's log in pages, or what a search finds in it.",
        model=LogPage,
        parameters=(
            log_page_handlers.BEFORE,
            log_page_handlers.AFTER,
            log_page_handlers.AROUND,
            log_page_handlers.FROM,
            log_page_handlers.LIMIT,
            log_page_handlers.CONTEXT,
            log_stream_handlers.SOURCE,
            *log_stream_handlers.FILTER_PARAMETERS,
        ),
        errors={
            **LOG_ERRORS,
            410: "The cursor fits nothing that is left of the log.",
            429: "Too many logs are being searched.",
        },
    ),
    Route(
        "/health",
        meta_handlers.get_health,
        "The process is alive. Nobody is asked.",
        model=HealthData,
    ),
    Route(
        "/ready",
        meta_handlers.get_readiness,
        "Whether jobs can be served, and what is missing.",
        model=ReadyData,
        errors={503: "Nothing can be served; the body says what is missing."},
    ),
    Route(
        "/metrics",
        meta_handlers.get_metrics,
        "Figures of the server for Prometheus.",
        content_type="text/plain",
    ),
    Route("/openapi.json", meta_handlers.get_openapi, "This description."),
)


def add_routes(router: web.UrlDispatcher) -> None:
    """Add the routes to a router. HEAD is allowed unless the response is a stream."""
    for route in ROUTES:
        # The router's default pattern excludes braces, which a job id may contain.
        path = route.path.replace("{job_id}", "{job_id:[^/]+}")
        router.add_get(path, route.handler, allow_head=route.events is None)
