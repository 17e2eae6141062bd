"""Reasons for which a job waits, and the command that lets it go on. Pure."""

import shlex
from collections.abc import Collection
from dataclasses import replace

from marianne_stream.models import (
    ACTIVE_SHEET_STATUSES,
    JobState,
    Sheet,
    Waiting,
    WaitingCode,
)
from marianne_stream.wire import job_ids

# Those about a sheet have its number, and the name of its instrument.
SENTENCES: dict[WaitingCode, str] = {
    "queued": "The conductor has not started the job yet.",
    "rate_limited": "Sheet {number} waits: {instrument} has reached a rate limit.",
    "retry": "Sheet {number} has failed and will be tried again.",
    "person": "Sheet {number} waits for a person's decision.",
    "paused": "The job is paused.",
    "paused_at_chain": "The job is done, and waits for a person to start the next one.",
}

# Statuses of a job, and of a sheet while none is at work, that mean waiting.
JOB_CODES: dict[str, WaitingCode] = {
    "pending": "queued",
    "queued": "queued",
    "paused": "paused",
    "paused_at_chain": "paused_at_chain",
}
SHEET_CODES: dict[str, WaitingCode] = {
    "fermata": "person",
    "waiting": "rate_limited",
    "retry_scheduled": "retry",
}

# What a job with one of these statuses waits for.
JOB_WAITING = {status: Waiting(code, SENTENCES[code]) for status, code in JOB_CODES.items()}

# Statuses from which `mzt resume` goes on.
RESUMABLE = frozenset({"failed", "paused", "paused_at_chain", "cancelled"})


def find_waiting(state: JobState) -> Waiting | None:
    """Return what a job waits for; None if it waits for nothing."""
    if state.is_terminal:
        return None
    times = state.progress.times if state.progress is not None else None
    since = times.waiting_since if times is not None else None
    if (waiting := find_waiting_status(state.status)) is not None:
        return replace(waiting, since=since)
    sheet = find_waiting_sheet(state.sheets)
    if sheet is None:
        return None
    code = SHEET_CODES[sheet.status]
    until = sheet.waiting_until
    if until is None and code == "rate_limited" and state.progress is not None:
        until = state.progress.limited_until
    instrument = sheet.instrument_name or "its instrument"
    detail = SENTENCES[code].format(number=sheet.number, instrument=instrument)
    return Waiting(code, detail, sheet.number, until, since)


def find_waiting_status(status: str) -> Waiting | None:
    """Return what a job with a status waits for; None if the status alone does not tell."""
    return JOB_WAITING.get(status)


def find_waiting_sheet(sheets: Collection[Sheet]) -> Sheet | None:
    """Return the sheet that a person must decide about, else the one that goes on first.

    Return None if another sheet is at work, and none waits for a person.
    """
    waiting = [sheet for sheet in sheets if sheet.status in SHEET_CODES]
    for_person = [sheet for sheet in waiting if sheet.status == "fermata"]
    if not for_person and any(sheet.status in ACTIVE_SHEET_STATUSES for sheet in sheets):
        return None
    return min(
        for_person or waiting,
        key=lambda sheet: (sheet.waiting_until or float("inf"), sheet.number),
        default=None,
    )


def resume_command(state: JobState) -> str | None:
    """Return the conductor's command that lets a job go on; None if nothing has to."""
    if state.status not in RESUMABLE:
        return None
    clone = state.progress.clone if state.progress is not None else None
    option = f" --conductor-clone={clone}" if clone is not None else ""
    return f"mzt{option} resume {quote_job_id(state.origin_job_id or state.job_id)}"


def quote_job_id(job_id: str) -> str:
    r"""Return a job id as an argument for a shell.

    Bytes that are not UTF-8 are written as bash, zsh and ksh read them: `$'\xff'`. After `--`, an
    id that begins with a hyphen is no option.
    """
    known_id = job_ids.unescape(job_id)
    if known_id == job_id:
        quoted = shlex.quote(job_id)
    else:
        escaped = known_id.replace("\\", "\\\\").replace("'", "\\'")
        quoted = f"$'{job_ids.escape(escaped)}'"
    return f"-- {quoted}" if job_id.startswith("-") else quoted
