"""A checkpoint, decoded and made into a JobState.

The conductor's `job.status`, the registry's `checkpoint_json` and the JSON files hold the same
object. Only the fields that somebody is shown are decoded: msgspec skips the rest without building
it, so 8 MB cost a few milliseconds where the json module takes 50 and more, all of it holding the
interpreter. This module must not know where the bytes came from.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from marianne_stream.models import (
    ACTIVE_SHEET_STATUSES,
    JobState,
    RosterEntry,
    Sheet,
    StateSourceName,
    format_iso_time,
)
from marianne_stream.wire import json_text

# The status of a sheet that was at work when its job was cancelled or crashed. It is this server's
# own: the conductor has no word for it.
STOPPED_STATUS = "stopped"

SHEET_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")

# Making a state of so many takes 40 ms.
MAX_SHEETS = 20_000


class CheckpointSheet(msgspec.Struct, frozen=True, gc=False):
    """A sheet as a checkpoint has it."""

    status: str = "pending"
    instrument_name: str | None = None
    movement: int | float | str | None = None
    error_message: str | None = None


class Checkpoint(msgspec.Struct, frozen=True):
    """A checkpoint, or the bare metadata of a job that has none yet.

    Times are ISO 8601 text in a checkpoint, and epoch seconds in bare metadata. `sheets` is None in
    bare metadata.
    """

    job_id: str
    status: str
    job_name: str | None = None
    sheets: Annotated[dict[str, CheckpointSheet], msgspec.Meta(max_length=MAX_SHEETS)] | None = None
    total_sheets: int | None = None
    current_sheet: int | None = None
    error_message: str | None = None
    created_at: str | float | None = None
    updated_at: str | float | None = None
    started_at: str | float | None = None
    completed_at: str | float | None = None
    submitted_at: str | float | None = None
    workspace: str | None = None
    worktree_path: str | None = None

    @property
    def is_metadata_only(self) -> bool:
        """Whether this is bare metadata: the job has no checkpoint."""
        return self.sheets is None and self.total_sheets is None


def decode_checkpoint(data: bytes) -> Checkpoint:
    """A checkpoint from JSON.

    Raises:
        ValueError: it is not JSON, or no checkpoint.
    """
    return json_text.decode(data, Checkpoint)


def to_iso_time(value: str | float | None) -> str | None:
    """A time in either form as ISO 8601 text."""
    return format_iso_time(value) if isinstance(value, int | float) else value


def to_epoch_s(value: str | float | None) -> float | None:
    """A time in either form as epoch seconds; None where it cannot be read as a time."""
    if value is None or isinstance(value, int | float):
        return value
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def make_sheets(checkpoint: Checkpoint) -> tuple[Sheet, ...]:
    """The sheets in the order of their numbers.

    Raises:
        ValueError: a key is not a sheet number.
    """
    sheets = (checkpoint.sheets or {}).items()
    for key, _ in sheets:
        if not SHEET_NUMBER.fullmatch(key):
            raise ValueError(f"{key!r:.40} is not a sheet number")
    numbered = sorted(((int(key), sheet) for key, sheet in sheets), key=lambda pair: pair[0])
    return tuple(
        Sheet(number, sheet.status, sheet.instrument_name, sheet.movement, sheet.error_message)
        for number, sheet in numbered
    )


def is_stale(checkpoint: Checkpoint, entry: RosterEntry) -> bool:
    """Whether a checkpoint is left from before the job was submitted again."""
    if checkpoint.is_metadata_only or entry.submitted_at is None:
        return False
    written_at = to_epoch_s(checkpoint.updated_at)
    return written_at is not None and written_at < entry.submitted_at


def make_state_from_entry(entry: RosterEntry, *, source: StateSourceName, live: bool) -> JobState:
    """The state of a job of which only the roster's entry is to be believed."""
    return JobState(
        job_id=entry.job_id,
        status=entry.status,
        source=source,
        live=live,
        checkpoint_status=entry.status,
        # A count that is told may be larger than a total that is.
        total_sheets=max(entry.total_sheets or 0, entry.completed_sheets or 0),
        completed_sheets=entry.completed_sheets or 0,
        error_message=entry.error_message,
        submitted_at=format_iso_time(entry.submitted_at),
        started_at=format_iso_time(entry.started_at),
        completed_at=format_iso_time(entry.completed_at),
        workspace=entry.workspace,
        run=make_run_id(entry.submitted_at),
    )


def make_run_id(start: str | float | None) -> str:
    """What tells one run of a job from the next, alike from every source.

    The conductor and its registry give the same start as text, but as a number some microseconds
    apart: so a number counts to a tenth of a second.
    """
    return f"{start:.1f}" if isinstance(start, int | float) else start or ""


def make_state(
    checkpoint: Checkpoint,
    entry: RosterEntry | None,
    *,
    source: StateSourceName,
    live: bool,
    trust_status: bool = False,
) -> JobState:
    """What a checkpoint and a roster's entry say together.

    The entry's status is right where they differ; a checkpoint that is older than the entry's
    submission says nothing of this run. `current_sheet` and `error_message` are taken from the
    sheets where the checkpoint leaves them empty.

    Args:
        checkpoint: the decoded checkpoint or bare metadata.
        entry: the roster's entry, or None where the roster does not list the job.
        source: where the two come from.
        live: whether the conductor itself said it.
        trust_status: whether the entry's status is to be believed even where the checkpoint says
            otherwise.

    Raises:
        ValueError: a key of the sheets is not a sheet number.
    """
    if entry is not None and is_stale(checkpoint, entry):
        return make_state_from_entry(entry, source=source, live=live)
    if entry is not None and checkpoint.is_metadata_only:
        state = make_state_from_entry(entry, source=source, live=live)
        believed = entry.status if trust_status else checkpoint.status
        message = checkpoint.error_message or state.error_message
        return replace(state, checkpoint_status=believed, error_message=message)
    sheets = make_sheets(checkpoint)
    # What the registry tells of a job that has ended, and its checkpoint may not.
    message = entry.error_message if entry is not None else None
    ended_at = format_iso_time(entry.completed_at) if entry is not None else None
    status = entry.status if entry is not None else checkpoint.status
    submitted_at = checkpoint.submitted_at if entry is None else entry.submitted_at
    start = (
        submitted_at
        if checkpoint.is_metadata_only
        else checkpoint.started_at or checkpoint.created_at
    )
    return JobState(
        job_id=checkpoint.job_id,
        status=status,
        source=source,
        live=live,
        checkpoint_status=status if trust_status else checkpoint.status,
        job_name=checkpoint.job_name,
        sheets=sheets,
        total_sheets=max(checkpoint.total_sheets or 0, len(sheets)),
        completed_sheets=sum(sheet.status == "completed" for sheet in sheets),
        current_sheet=checkpoint.current_sheet or first_active_sheet(sheets),
        error_message=checkpoint.error_message or message or first_sheet_error(sheets),
        submitted_at=to_iso_time(submitted_at),
        created_at=to_iso_time(checkpoint.created_at),
        started_at=to_iso_time(checkpoint.started_at),
        updated_at=to_iso_time(checkpoint.updated_at),
        completed_at=to_iso_time(checkpoint.completed_at) or ended_at,
        workspace=checkpoint.workspace or (entry.workspace if entry is not None else None),
        worktree_path=checkpoint.worktree_path,
        from_checkpoint=not checkpoint.is_metadata_only,
        run=make_run_id(start),
    )


def first_active_sheet(sheets: tuple[Sheet, ...]) -> int | None:
    """The number of the first sheet that is dispatched or in progress."""
    return next((sheet.number for sheet in sheets if sheet.status in ACTIVE_SHEET_STATUSES), None)


def first_sheet_error(sheets: tuple[Sheet, ...]) -> str | None:
    """The error message of the first sheet that failed."""
    return next((sheet.error_message for sheet in sheets if sheet.status == "failed"), None)


def mark_stopped_sheets(state: JobState) -> JobState:
    """Return the state of a job that has ended, in which nothing is at work.

    A job that was cancelled, or that a crash ended, keeps its sheet dispatched in the checkpoint:
    such a sheet is shown as `stopped`, once nothing contradicts that the job is over.
    """
    if not state.is_terminal:
        return state
    sheets = state.sheets
    if state.is_final:
        sheets = tuple(
            replace(sheet, status=STOPPED_STATUS)
            if sheet.status in ACTIVE_SHEET_STATUSES
            else sheet
            for sheet in sheets
        )
    return replace(state, current_sheet=None, sheets=sheets)
