"""Handlers for jobs as JSON: the roster in pages, one job, its status."""

import base64
import binascii

import msgspec
from aiohttp import web

from marianne_stream.errors import BadParameterError
from marianne_stream.jobs.job_data import make_job_detail, make_status_data
from marianne_stream.jobs.snapshots import newest_first_key
from marianne_stream.models import RosterEntry
from marianne_stream.schemas.job_schemas import JobPage, JobSummary
from marianne_stream.web.app_keys import JOB_HUB
from marianne_stream.web.auth_middleware import GRANT
from marianne_stream.web.params import NumberParameter, TextParameter, read_job_id
from marianne_stream.web.responses import json_response

# A job id has at most 255 bytes, each of which takes up to eight in JSON and base64.
MAX_PAGE_TOKEN_CHARS = 3000

STATUS = TextParameter("status", "Only jobs with this status.")
NAME = TextParameter("name", "Only jobs whose id holds this text, whatever its case.")
LIMIT = NumberParameter("limit", "Number of jobs on a page.", 50, 1, 1000, is_integer=True)
AFTER = TextParameter("after", "Value of `next` of the page before.")


async def list_jobs(request: web.Request) -> web.Response:
    """`GET /api/jobs`: a page of the roster."""
    status, name, after = STATUS.read(request), NAME.read(request), AFTER.read(request)
    limit = int(LIMIT.read(request))
    after_key = decode_page_token(after) if after is not None else None
    job_scope = request[GRANT].job_scope
    hub = request.app[JOB_HUB]
    roster = await hub.roster.get()
    matching = sorted(
        (
            entry
            for entry in roster.entries.values()
            if job_scope(entry.job_id) and matches_filters(entry, status, name)
        ),
        key=newest_first_key,
    )
    rest = [entry for entry in matching if after_key is None or newest_first_key(entry) > after_key]
    page = rest[:limit]
    return json_response(
        JobPage(
            jobs=tuple(
                JobSummary.from_entry(entry, hub.roster.details.get(entry)) for entry in page
            ),
            total=len(matching),
            next=encode_page_token(page[-1]) if len(rest) > limit else None,
        )
    )


async def get_job(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}`: a job with its sheets."""
    hub, job_id = request.app[JOB_HUB], read_job_id(request)
    state = await hub.get_state(job_id)
    return json_response(make_job_detail(state, with_paths=request[GRANT].job_scope.matches_all))


async def get_job_status(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/status`: the data of a `job_status` event."""
    hub, job_id = request.app[JOB_HUB], read_job_id(request)
    state = await hub.get_state(job_id)
    return json_response(make_status_data(state, with_paths=request[GRANT].job_scope.matches_all))


def matches_filters(entry: RosterEntry, status: str | None, name: str | None) -> bool:
    """Return whether an entry passes the filters of a request."""
    if status is not None and entry.status != status:
        return False
    return name is None or name.casefold() in entry.job_id.casefold()


def encode_page_token(entry: RosterEntry) -> str:
    """Return the token of a page that ends with an entry."""
    return (
        base64.urlsafe_b64encode(msgspec.json.encode(newest_first_key(entry))).decode().rstrip("=")
    )


def decode_page_token(token: str) -> tuple[float, str]:
    """Return the sort key that a page token contains; raise BadParameterError if it is invalid."""
    try:
        padded = token[:MAX_PAGE_TOKEN_CHARS].encode("ascii") + b"=" * (-len(token) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=tuple[float, str])
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadParameterError(
            detail="after must be what `next` of a page gave, and is not"
        ) from error
