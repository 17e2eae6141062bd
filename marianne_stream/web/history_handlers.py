"""Handlers for recorded runs and events, and for what has happened since a time."""

import re
import time

from aiohttp import web

from marianne_stream.errors import BadParameterError, RunNotFoundError, StateUnavailableError
from marianne_stream.history import pages
from marianne_stream.history.store import HistoryStore
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.run_times import make_run_name
from marianne_stream.jobs.waiting import find_waiting_status
from marianne_stream.models import format_iso_time
from marianne_stream.schemas.history_schemas import SummaryData
from marianne_stream.schemas.job_schemas import WaitingJob
from marianne_stream.web.app_keys import FIND_HISTORY, JOB_HUB
from marianne_stream.web.auth_middleware import GRANT
from marianne_stream.web.params import (
    NumberParameter,
    TimeParameter,
    read_job_id,
    repr_truncated,
)
from marianne_stream.web.responses import json_response
from marianne_stream.wire.job_patterns import JobPatterns

RUN_LIMIT = NumberParameter("limit", "Number of runs on a page.", 10, 1, 100, is_integer=True)
RUN_BEFORE = TimeParameter("before", "Value of `next` of the page before.")
EVENT_LIMIT = NumberParameter("limit", "Number of events on a page.", 100, 1, 1000, is_integer=True)
EVENT_BEFORE = NumberParameter(
    "before",
    "Value of `next` of the page before; 0 for the newest.",
    0,
    0,
    2**53 - 1,
    is_integer=True,
)
SHEET_LIMIT = NumberParameter(
    "limit",
    "Number of sheets on a page.",
    *(pages.MAX_PAGE_SHEETS, 1, pages.MAX_PAGE_SHEETS),
    is_integer=True,
)
SHEETS_AFTER = NumberParameter(
    "after",
    "Value of `next` of the page before; 0 for the first page.",
    *(0, 0, 2**53 - 1),
    is_integer=True,
)
RUN_NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
SINCE = TimeParameter(
    "since", "Time of the last visit, ISO 8601 with an offset or Z.", is_required=True
)


def find_store(request: web.Request, job_id: str | None = None) -> HistoryStore:
    """Return the store that has a job, or all jobs.

    Raises:
        HistoryUnavailableError: the history is turned off.
        NotOnEdgeError: only the origin has it.
    """
    return request.app[FIND_HISTORY](job_id).store


async def list_runs(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/runs`: recorded runs, also of a job that the conductor forgot."""
    job_id, limit = read_job_id(request), int(RUN_LIMIT.read(request))
    before = read_run_before(request)
    page = await pages.read_run_page(find_store(request, job_id), job_id, limit, before)
    if not page.runs and before is None:
        await request.app[JOB_HUB].ensure_exists(job_id)
    return json_response(page)


async def get_run(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/runs/{run}`: one recorded run, with its sheets in pages."""
    job_id, run = read_job_id(request), request.match_info["run"]
    after, limit = int(SHEETS_AFTER.read(request)), int(SHEET_LIMIT.read(request))
    if run != pages.LATEST_RUN and not RUN_NAME.fullmatch(run):
        raise RunNotFoundError(detail=f"No run of {job_id!r} is named {repr_truncated(run)}.")
    store = find_store(request, job_id)
    return json_response(await pages.read_run(store, job_id, run, after=after, limit=limit))


async def list_events(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/events/list`: recorded events, newest first."""
    job_id, limit = read_job_id(request), int(EVENT_LIMIT.read(request))
    before = int(EVENT_BEFORE.read(request)) or None
    store = find_store(request, job_id)
    page, count = await pages.read_event_page(store, job_id, limit, before)
    if not count and not before:
        await request.app[JOB_HUB].ensure_exists(job_id)
    return json_response(page)


async def get_summary(request: web.Request) -> web.Response:
    """`GET /api/summary`: runs that have ended and sheets that have stalled, and what waits now."""
    since = read_since(request)
    store, job_scope = find_store(request), request[GRANT].job_scope
    ended, stalled, has_all = await pages.read_summary(store, since, job_scope)
    waiting, has_all_waiting = await find_waiting_jobs(request.app[JOB_HUB], job_scope)
    summary = SummaryData(
        since=format_iso_time(since) or "",
        until=format_iso_time(time.time()) or "",
        ended=ended,
        waiting=waiting,
        stalled=stalled,
        complete=has_all and has_all_waiting,
    )
    return json_response(summary)


async def find_waiting_jobs(
    hub: JobHub, job_scope: JobPatterns
) -> tuple[tuple[WaitingJob, ...], bool]:
    """Return the jobs of the roster that wait, and whether these are all.

    A running job may wait for something that only its checkpoint shows. Without a roster nothing is
    known.
    """
    try:
        roster = await hub.roster.get()
    except StateUnavailableError:
        return (), False
    found = []
    is_complete = True
    for entry in roster.entries.values():
        if entry.is_terminal or not job_scope(entry.job_id):
            continue
        details = hub.roster.details.get(entry)
        waiting = find_waiting_status(entry.status) or (details and details.waiting)
        if waiting:
            found.append(WaitingJob(job_id=entry.job_id, status=entry.status, waiting=waiting))
        elif details is None or details.updated_at is None:
            is_complete = False
    return tuple(found), is_complete


def read_run_before(request: web.Request) -> str | None:
    """Return the name of the run before which a page begins; None for the newest."""
    submitted_at = RUN_BEFORE.read(request)
    return make_run_name(submitted_at) if submitted_at is not None else None


def read_since(request: web.Request) -> float:
    """Return the time of the last visit in epoch seconds; raise BadParameterError without one."""
    since = SINCE.read(request)
    if since is None:
        raise BadParameterError(detail="since is missing: the time of the last visit, ISO 8601")
    return since
