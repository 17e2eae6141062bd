"""Jobs as JSON: the roster in pages, one job, its status.

It must not know where state comes from.
"""

import base64
import binascii

import msgspec
from aiohttp import web

from marianne_stream.errors import BadParameterError
from marianne_stream.jobs.views import newest_first_key
from marianne_stream.models import RosterEntry
from marianne_stream.payloads import JobDetail, JobPage, JobStatusData, JobSummary
from marianne_stream.web.answers import json_answer
from marianne_stream.web.gate import GRANT
from marianne_stream.web.keys import WATCHES
from marianne_stream.web.params import NumberParameter, TextParameter, job_id_of

# A job id has at most 255 bytes, each of which JSON and base64 may make eight of.
MARK_LIMIT = 3000

STATUS = TextParameter("status", "Only jobs with this status.")
NAME = TextParameter("name", "Only jobs whose id holds this text, whatever its case.")
LIMIT = NumberParameter("limit", 50, 1, 1000, "How many jobs a page holds.", whole=True)
AFTER = TextParameter("after", "Where the page begins: what `next` of the page before gave.")


async def list_jobs(request: web.Request) -> web.Response:
    """`GET /api/jobs`: one page of the roster."""
    status, name, after = STATUS.read(request), NAME.read(request), AFTER.read(request)
    limit = int(LIMIT.read(request))
    place = place_of(after) if after is not None else None
    visible = request[GRANT].jobs
    watches = request.app[WATCHES]
    roster = await watches.get_roster()
    matching = sorted(
        (
            entry
            for entry in roster.entries.values()
            if visible(entry.job_id) and matches(entry, status, name)
        ),
        key=newest_first_key,
    )
    rest = [entry for entry in matching if place is None or newest_first_key(entry) > place]
    page = rest[:limit]
    return json_answer(
        JobPage(
            jobs=tuple(JobSummary.of(entry, watches.roster_details.get(entry)) for entry in page),
            total=len(matching),
            next=page_mark(page[-1]) if len(rest) > limit else None,
        )
    )


async def job(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}`: one job with its sheets."""
    watches, job_id = request.app[WATCHES], job_id_of(request)
    state = await watches.get_state(job_id)
    return json_answer(JobDetail.of(state, watches.progress.get(job_id)))


async def job_status(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/status`: what a `job_status` event would say."""
    watches, job_id = request.app[WATCHES], job_id_of(request)
    state = await watches.get_state(job_id)
    return json_answer(JobStatusData.of(state, watches.progress.get(job_id)))


def matches(entry: RosterEntry, status: str | None, name: str | None) -> bool:
    """Whether an entry passes the filters of a request."""
    if status is not None and entry.status != status:
        return False
    return name is None or name.casefold() in entry.job_id.casefold()


def page_mark(entry: RosterEntry) -> str:
    """What stands for an entry as the end of a page."""
    return (
        base64.urlsafe_b64encode(msgspec.json.encode(newest_first_key(entry))).decode().rstrip("=")
    )


def place_of(mark: str) -> tuple[float, str]:
    """The place in the roster that a page mark stands for.

    Raises:
        BadParameterError: it is no page mark.
    """
    try:
        padded = mark[:MARK_LIMIT].encode("ascii") + b"=" * (-len(mark) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=tuple[float, str])
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadParameterError(
            detail="after must be what `next` of a page gave, and is not"
        ) from error
