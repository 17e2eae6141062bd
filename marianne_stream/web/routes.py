"""Table of routes: the router and `/openapi.json` are both made from it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler

from marianne_stream.schemas.conductor_schemas import ConductorData
from marianne_stream.schemas.event_schemas import (
    GapData,
    HeartbeatData,
    PartErrorData,
    PartStartData,
    SourceData,
    StreamErrorData,
)
from marianne_stream.schemas.file_schemas import FileListData
from marianne_stream.schemas.history_schemas import EventPage, RunData, RunPage, SummaryData
from marianne_stream.schemas.job_schemas import (
    JobDeletedData,
    JobDetail,
    JobFinishedData,
    JobPage,
    JobSheetsData,
    JobStatusData,
    RosterData,
)
from marianne_stream.schemas.log_schemas import (
    LogCompleteData,
    LogData,
    LogGapData,
    LogInfo,
    LogMissingData,
    LogPage,
    LogPartialData,
    LogRotatedData,
)
from marianne_stream.schemas.payload import Payload
from marianne_stream.schemas.server_schemas import HealthData, ReadyData
from marianne_stream.schemas.sheet_schemas import SheetDetail
from marianne_stream.web import (
    combined_handlers,
    conductor_handlers,
    file_handlers,
    history_handlers,
    job_handlers,
    log_download_handlers,
    log_page_handlers,
    log_stream_handlers,
    meta_handlers,
    sheet_handlers,
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
ROSTER_EVENTS: EventModels = {
    "roster": RosterData,
    "conductor": ConductorData,
    **COMMON_EVENTS,
}

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

# Each event of such a stream also has the field `part`, and those of a log `job_id`.
COMBINED_EVENTS: EventModels = {
    **ROSTER_EVENTS,
    **STATUS_EVENTS,
    **TIMELINE_EVENTS,
    **LOG_EVENTS,
    "part_start": PartStartData,
    "part_error": PartErrorData,
}


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
UNAVAILABLE = {503: "Neither the conductor nor another backend can be read."}
LOG_ERRORS = {
    400: "A parameter or the job id is not valid.",
    403: "The log may not be read: it is not a regular file, or its permissions forbid it.",
    404: "There is no such job, or it has no log.",
    **UNAVAILABLE,
}
PAGE_ERRORS = {
    410: "No file has the line of the cursor, or so many lines.",
    422: "The request would have to read too much of the log.",
    429: "Too many searches are running.",
}
FILE_ERRORS = {
    400: "A parameter, the job id or the path is not valid.",
    403: "The file may not be read, or the token has no right to files.",
    404: "There is no such job or file, or this server serves no files.",
    **UNAVAILABLE,
}
JOB_ERRORS = {400: "A parameter or the job id is not valid.", **NOT_FOUND, **UNAVAILABLE}

HISTORY_ERRORS = {
    400: "A parameter or the job id is not valid.",
    404: "There is no such job or run, or this server has no history.",
    501: "This server is an edge, and the address of the origin is unknown.",
    503: "The history, or the state of the job, cannot be read right now.",
}

ROUTES = (
    Route(
        "/api/jobs",
        job_handlers.list_jobs,
        "Jobs of the roster in pages, newest first.",
        model=JobPage,
        parameters=(job_handlers.STATUS, job_handlers.NAME, job_handlers.LIMIT, job_handlers.AFTER),
        errors={**BAD_REQUEST, **UNAVAILABLE},
    ),
    Route(
        "/api/roster/stream",
        stream_handlers.stream_roster,
        "Stream of the roster.",
        events=ROSTER_EVENTS,
        parameters=(stream_handlers.POLL_INTERVAL, stream_handlers.DETAILS, LAST_EVENT_ID),
        errors={**BAD_REQUEST, **UNAVAILABLE},
    ),
    Route(
        "/api/stream",
        combined_handlers.stream_combined,
        "Stream of several parts: the roster, and jobs' status, events and logs.",
        events=COMBINED_EVENTS,
        has_conductor_events=True,
        parameters=(combined_handlers.PART, combined_handlers.CURSOR, LAST_EVENT_ID),
        errors=BAD_REQUEST,
    ),
    Route(
        "/api/jobs/{job_id}",
        job_handlers.get_job,
        "A job with its sheets.",
        model=JobDetail,
        errors=JOB_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/status",
        job_handlers.get_job_status,
        "Status of a job, as in a job_status event.",
        model=JobStatusData,
        errors=JOB_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/stream",
        stream_handlers.stream_job,
        "Stream of a job's status, until the job ends.",
        events=STATUS_EVENTS,
        parameters=(stream_handlers.POLL_INTERVAL, LAST_EVENT_ID),
        errors=JOB_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/events",
        stream_handlers.stream_job_events,
        "Stream of a job's events.",
        events=TIMELINE_EVENTS,
        has_conductor_events=True,
        parameters=(stream_handlers.LIMIT, LAST_EVENT_ID),
        errors=JOB_ERRORS,
    ),
    Route(
        "/api/events/stream",
        stream_handlers.stream_all_events,
        "Stream of the events of all jobs, or of those that pass the filters.",
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
        "/api/jobs/{job_id}/sheets/{number}",
        sheet_handlers.get_sheet,
        "One sheet in full, of the current or of a recorded run.",
        model=SheetDetail,
        parameters=(sheet_handlers.RUN,),
        errors={**HISTORY_ERRORS, 404: "There is no such job, run or sheet."},
    ),
    Route(
        "/api/jobs/{job_id}/events/list",
        history_handlers.list_events,
        "Recorded events of a job in pages, newest first.",
        model=EventPage,
        parameters=(history_handlers.EVENT_LIMIT, history_handlers.EVENT_BEFORE),
        errors=HISTORY_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/runs",
        history_handlers.list_runs,
        "Recorded runs of a job in pages, newest first.",
        model=RunPage,
        parameters=(history_handlers.RUN_LIMIT, history_handlers.RUN_BEFORE),
        errors=HISTORY_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/runs/{run}",
        history_handlers.get_run,
        "A recorded run of a job, with its sheets and transitions in pages.",
        model=RunData,
        parameters=(history_handlers.SHEET_LIMIT, history_handlers.SHEETS_AFTER),
        errors=HISTORY_ERRORS,
    ),
    Route(
        "/api/summary",
        history_handlers.get_summary,
        "Runs that have ended and sheets that have stalled since a time, and jobs that wait.",
        model=SummaryData,
        parameters=(history_handlers.SINCE,),
        errors=HISTORY_ERRORS,
    ),
    Route(
        "/api/conductor",
        conductor_handlers.get_conductor,
        "Load and limits of the conductor, and the jobs that wait.",
        model=ConductorData,
        parameters=(conductor_handlers.SOURCE,),
        errors={
            **BAD_REQUEST,
            404: "This server reads files on disk, and asks no conductor.",
            503: "The conductor cannot be asked.",
        },
    ),
    Route(
        "/api/jobs/{job_id}/logs",
        log_stream_handlers.stream_log,
        "Stream of a job's log, until the job ends.",
        events=LOG_EVENTS,
        parameters=(
            *log_stream_handlers.STREAM_PARAMETERS,
            log_stream_handlers.SOURCE,
            *log_stream_handlers.FILTER_PARAMETERS,
            LAST_EVENT_ID,
        ),
        errors=LOG_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/logs/static",
        log_download_handlers.download_log_text,
        "Download of a job's log as text, with a header of five lines.",
        content_type="text/plain",
        parameters=(log_stream_handlers.SOURCE,),
        errors={**LOG_ERRORS, 413: "The log is larger than max_download_bytes."},
    ),
    Route(
        "/api/jobs/{job_id}/logs/raw",
        log_download_handlers.download_log_file,
        "Download of the log file itself, of any size.",
        content_type="text/plain",
        parameters=(log_stream_handlers.SOURCE,),
        errors=LOG_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/logs/info",
        log_download_handlers.get_log_info,
        "Size of a job's log, and the cursor of its end.",
        model=LogInfo,
        parameters=(log_stream_handlers.SOURCE,),
        errors=LOG_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/logs/lines",
        log_page_handlers.get_log_page,
        "Lines of a job's log in pages, or the matches of a search.",
        model=LogPage,
        parameters=(
            *log_page_handlers.PAGE_PARAMETERS,
            log_stream_handlers.SOURCE,
            *log_stream_handlers.FILTER_PARAMETERS,
        ),
        errors={**LOG_ERRORS, **PAGE_ERRORS},
    ),
    Route(
        "/api/jobs/{job_id}/files",
        file_handlers.list_files,
        "Files of a job's workspace, what changed last first or by name.",
        model=FileListData,
        parameters=(
            file_handlers.SORT,
            file_handlers.DEPTH,
            file_handlers.GLOB,
            file_handlers.HIDDEN,
            file_handlers.LIMIT,
        ),
        errors=FILE_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/files/{path}",
        file_handlers.get_file,
        "A file of a job's workspace.",
        content_type="application/octet-stream",
        parameters=(file_handlers.INLINE, file_handlers.RENDER),
        errors={**FILE_ERRORS, 413: "The Markdown file is too large to be rendered."},
    ),
    Route(
        "/api/jobs/{job_id}/file-stream/{path}",
        file_handlers.stream_file,
        "Stream of a text file of a job's workspace, until the job ends.",
        events=LOG_EVENTS,
        parameters=(
            *log_stream_handlers.STREAM_PARAMETERS,
            *log_stream_handlers.FILTER_PARAMETERS,
            LAST_EVENT_ID,
        ),
        errors=FILE_ERRORS,
    ),
    Route(
        "/api/jobs/{job_id}/file-lines/{path}",
        file_handlers.get_file_page,
        "Lines of a text file of a job's workspace in pages, or the matches of a search.",
        model=LogPage,
        parameters=(*log_page_handlers.PAGE_PARAMETERS, *log_stream_handlers.FILTER_PARAMETERS),
        errors={**FILE_ERRORS, **PAGE_ERRORS},
    ),
    Route(
        "/health",
        meta_handlers.get_health,
        "Liveness of the process; checks no dependency.",
        model=HealthData,
    ),
    Route(
        "/ready",
        meta_handlers.get_readiness,
        "Readiness to serve jobs, and the reasons if not.",
        model=ReadyData,
        errors={503: "No jobs can be served; the body has the reasons."},
    ),
    Route(
        "/metrics",
        meta_handlers.get_metrics,
        "Metrics for Prometheus.",
        content_type="text/plain",
    ),
    Route("/openapi.json", meta_handlers.get_openapi, "This description."),
)


def add_routes(router: web.UrlDispatcher) -> None:
    """Add the routes to a router. HEAD is allowed unless the response is a stream."""
    for route in ROUTES:
        # The router's default pattern excludes braces, which a job id may contain.
        path = route.path.replace("{path}", r"{path:[\s\S]+}")
        path = re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", path)
        router.add_get(path, route.handler, allow_head=route.events is None)
