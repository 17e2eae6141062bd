"""Handler for one sheet of a job in full."""

import asyncio
from dataclasses import asdict, replace
from typing import Any

from aiohttp import web

from marianne_stream.errors import BadParameterError, SheetNotFoundError
from marianne_stream.history import pages
from marianne_stream.models import JobState, Sheet
from marianne_stream.schemas.sheet_schemas import SheetDetail
from marianne_stream.web.app_keys import JOB_HUB
from marianne_stream.web.history_handlers import find_store
from marianne_stream.web.params import (
    INTEGER_RE,
    TextParameter,
    read_job_id,
    repr_truncated,
)
from marianne_stream.web.responses import json_response

MAX_SHEET_NUMBER = 10**9 - 1

RUN = TextParameter("run", "Name of a recorded run, or `latest`; default: the run of now.")


async def get_sheet(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/sheets/{number}`: a sheet of the current or of a recorded run."""
    job_id, number, run = read_job_id(request), read_sheet_number(request), RUN.read(request)
    hub = request.app[JOB_HUB]
    if run is not None:
        record = await pages.read_run_sheet(find_store(request, job_id), job_id, run, number)
        return json_response(SheetDetail(**asdict(record)))
    state = await hub.get_state(job_id)
    known = next((sheet for sheet in state.sheets if sheet.number == number), None)
    if known is None:
        raise SheetNotFoundError(detail=f"{job_id!r} has no sheet {number}.")
    reported, fields = await hub.read_sheet(state, number)
    merged = merge_sheet(reported, known)
    return json_response(await asyncio.to_thread(make_sheet_json, state, merged, fields))


def make_sheet_json(state: JobState, sheet: Sheet, fields: dict[str, Any]) -> bytes:
    """Return the response about a sheet of the current run; call it in a thread.

    Args:
        state: the job.
        sheet: the sheet with the times and the status that are shown elsewhere.
        fields: its details by their names in the response.
    """
    values = {**asdict(sheet), **fields}
    # The message is complete here.
    del values["error_truncated"]
    times = state.progress.times if state.progress is not None else None
    run = times.run if times is not None else None
    return SheetDetail(**{**values, "job_id": state.job_id, "run": run}).json_bytes()


def merge_sheet(reported: Sheet, known: Sheet) -> Sheet:
    """Return the sheet of a checkpoint with the times and the status that are shown elsewhere."""
    return replace(
        reported,
        status=known.status,
        started_at=known.started_at,
        completed_at=known.completed_at,
        observed=known.observed,
        estimated=known.estimated,
    )


def read_sheet_number(request: web.Request) -> int:
    """Return the number of a sheet in an address; raise BadParameterError if it is none."""
    text = request.match_info["number"]
    if INTEGER_RE.fullmatch(text) and 0 <= int(text) <= MAX_SHEET_NUMBER:
        return int(text)
    raise BadParameterError(
        detail=f"the number of a sheet must be an integer from 0 to {MAX_SHEET_NUMBER}, "
        f"got {repr_truncated(text)}"
    )
