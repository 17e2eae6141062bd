"""Checkpoints, decoded and converted to JobState.

The conductor's `job.status`, the registry's `checkpoint_json` and the JSON files have the same
format. Only the fields that clients see are decoded: msgspec skips the rest without building it,
so 8 MB take a few milliseconds; the json module takes over 50 ms and holds the interpreter.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from marianne_stream.backends.values import (
    AnyValue,
    Scalar,
    SkippedArray,
    SkippedObject,
    count_or_none,
    cut_label,
    cut_name,
    duration_or_none,
    message_or_none,
    number_or_none,
    text_or_none,
)
from marianne_stream.models import (
    ACTIVE_SHEET_STATUSES,
    Hook,
    JobState,
    RosterEntry,
    Sheet,
    StateSourceName,
    format_iso_time,
)
from marianne_stream.value_limits import (
    LATEST_EPOCH_S,
    MAX_COUNT,
    MAX_ERROR_CHARS,
    MAX_HOOKS,
)
from marianne_stream.wire import json_text

# Status of a sheet that was active when its job was cancelled or crashed. The conductor has none.
STOPPED_STATUS = "stopped"

SHEET_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")

# Making a state of this many sheets takes 60 ms.
MAX_SHEETS = 20_000

# Statuses of a sheet whose last attempt has failed: the conductor counts failures.
FAILED_ATTEMPT_STATUSES = frozenset({"failed", "retry_scheduled"})
ATTEMPTED_STATUSES = frozenset({"completed", "waiting", *ACTIVE_SHEET_STATUSES})

# Statuses in which the end of a wait counts: while an instrument has a rate limit, the conductor
# gives its end to sheets with other statuses as well.
WAITING_STATUSES = frozenset({"waiting", "retry_scheduled"})


class CheckpointSheet(msgspec.Struct, frozen=True, gc=False):
    """A sheet in a checkpoint."""

    status: str = "pending"
    instrument_name: str | None = None
    movement: int | float | str | None = None
    error_message: str | None = None
    error_code: AnyValue = None
    normal_attempts: AnyValue = None
    started_at: AnyValue = None
    completed_at: AnyValue = None
    rate_limit_expires_at: AnyValue = None
    fire_at: AnyValue = None
    total_duration_seconds: AnyValue = None
    sheet_timeout_seconds: AnyValue = None


@dataclass(frozen=True, slots=True)
class CheckpointHook:
    """A result of a hook in a checkpoint or in the registry."""

    hook_type: AnyValue = None
    success: AnyValue = None
    description: AnyValue = None
    error_message: AnyValue = None
    chained_job_id: AnyValue = None


# The first results of hooks: a struct in the form of an array, so that the rest is not decoded.
HOOK_LIST = msgspec.defstruct(
    "HookList",
    [
        (f"hook_{number}", CheckpointHook | Scalar | SkippedArray, None)
        for number in range(MAX_HOOKS)
    ],
    array_like=True,
)
HOOK_RESULTS: Any = HOOK_LIST | Scalar | SkippedObject


class CheckpointId(msgspec.Struct, frozen=True):
    """The job of a checkpoint."""

    job_id: str


class Checkpoint(msgspec.Struct, frozen=True):
    """A checkpoint, or the bare metadata of a job that has no checkpoint yet.

    Times are ISO 8601 text in a checkpoint, and epoch seconds in bare metadata, where `sheets` is
    None.
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
    config_path: AnyValue = None
    total_estimated_cost: AnyValue = None
    total_input_tokens: AnyValue = None
    total_output_tokens: AnyValue = None
    hook_results: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def is_metadata_only(self) -> bool:
        """True for bare metadata: the job has no checkpoint."""
        return self.sheets is None and self.total_sheets is None


def decode_checkpoint(data: bytes) -> Checkpoint:
    """Decode a checkpoint from JSON; raise ValueError if it is invalid."""
    return json_text.decode(data, Checkpoint)


def to_iso_time(value: str | float | None) -> str | None:
    """Convert a time in either form to ISO 8601 text."""
    return format_iso_time(value) if isinstance(value, int | float) else cut_name(value)


def to_epoch_s(value: str | float | None) -> float | None:
    """Convert a time in either form to epoch seconds; None if it is not of the years 1970 to 9999.

    Another year has no form in ISO 8601 once its time zone is UTC.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    return value if value is not None and 0 <= value < LATEST_EPOCH_S else None


def make_sheets(checkpoint: Checkpoint) -> tuple[Sheet, ...]:
    """Return the sheets by number; raise ValueError if a key is not a sheet number."""
    sheets = (checkpoint.sheets or {}).items()
    for key, _ in sheets:
        if not SHEET_NUMBER.fullmatch(key):
            raise ValueError(f"{key!r:.40} is not a sheet number")
    numbered = sorted(((int(key), sheet) for key, sheet in sheets), key=lambda pair: pair[0])
    return tuple(make_sheet(number, sheet) for number, sheet in numbered)


def make_sheet(number: int, sheet: CheckpointSheet) -> Sheet:
    """Convert a sheet, with the times that the conductor reports."""
    message = sheet.error_message
    is_long = message is not None and len(message) > MAX_ERROR_CHARS
    return Sheet(
        number=number,
        status=cut_label(sheet.status),
        instrument_name=cut_name(sheet.instrument_name),
        movement=cut_name(sheet.movement),
        error_message=message[:MAX_ERROR_CHARS] if message is not None else None,
        error_truncated=is_long,
        error_code=text_or_none(sheet.error_code),
        attempt=attempt_number(sheet),
        started_at=time_or_none(sheet.started_at),
        completed_at=time_or_none(sheet.completed_at),
        waiting_until=wait_end(sheet) if sheet.status in WAITING_STATUSES else None,
        work_s=duration_or_none(sheet.total_duration_seconds),
        timeout_s=duration_or_none(sheet.sheet_timeout_seconds),
    )


def attempt_number(sheet: CheckpointSheet) -> int | None:
    """Return the number of a sheet's last attempt; the conductor counts those that have failed."""
    failures = int(number_or_none(sheet.normal_attempts) or 0)
    if sheet.status in FAILED_ATTEMPT_STATUSES:
        return failures or None
    return min(failures + 1, MAX_COUNT) if sheet.status in ATTEMPTED_STATUSES else None


def wait_end(sheet: CheckpointSheet) -> float | None:
    """Return the end of a rate limit or the time of a retry, in epoch seconds."""
    return time_or_none(sheet.rate_limit_expires_at) or time_or_none(sheet.fire_at)


def time_or_none(value: AnyValue) -> float | None:
    """Return a time in epoch seconds, rounded to milliseconds; None if it is not reported."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    seconds = to_epoch_s(value)
    return round(seconds, 3) if seconds else None


def is_stale(checkpoint: Checkpoint, entry: RosterEntry) -> bool:
    """Return True if a checkpoint is of a run before the job was submitted again.

    A submission creates a checkpoint, and a resume sets its start anew. The conductor goes on
    setting `updated_at` of old checkpoints (docs/explanation/conductor.md, point 11), so that time
    counts only if there is no other.
    """
    if checkpoint.is_metadata_only or entry.submitted_at is None:
        return False
    begun = (to_epoch_s(checkpoint.created_at), to_epoch_s(checkpoint.started_at))
    newest = max((time for time in begun if time is not None), default=None)
    if newest is None:
        newest = to_epoch_s(checkpoint.updated_at)
    return newest is not None and newest < entry.submitted_at


def make_state_from_entry(entry: RosterEntry, *, source: StateSourceName, live: bool) -> JobState:
    """Return the state of a job of which only the roster's entry is reliable."""
    return JobState(
        job_id=entry.job_id,
        status=entry.status,
        source=source,
        live=live,
        checkpoint_status=entry.status,
        # The reported count may be larger than the reported total.
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
    """Return the id of a run, which is the same from every backend.

    Conductor and registry give the same start as text, but numbers differ by microseconds, so a
    number is rounded to a tenth of a second.
    """
    return f"{start:.1f}" if isinstance(start, int | float) else cut_name(start or "")


def make_state(
    checkpoint: Checkpoint,
    entry: RosterEntry | None,
    *,
    source: StateSourceName,
    live: bool,
    trust_status: bool = False,
) -> JobState:
    """Combine a checkpoint and a roster entry, which is None if the roster does not list the job.

    Both come from `source`, and are `live` if the conductor itself reported them. The entry's
    status is right where they differ; a checkpoint older than the entry's submission says nothing
    about this run. `trust_status` makes the entry's status final even where the checkpoint differs.

    Raises:
        ValueError: a key of the sheets is not a sheet number.
    """
    if entry is not None and is_stale(checkpoint, entry):
        return make_state_from_entry(entry, source=source, live=live)
    if entry is not None and checkpoint.is_metadata_only:
        state = make_state_from_entry(entry, source=source, live=live)
        believed = entry.status if trust_status else cut_label(checkpoint.status)
        message = checkpoint.error_message or state.error_message
        return replace(state, checkpoint_status=believed, error_message=message_or_none(message))
    state = make_state_from_checkpoint(checkpoint, source=source, live=live)
    if entry is not None:
        # The registry knows the error and end of a job that its checkpoint may lack. The entry may
        # have the beginning of a sheet's error only.
        own, listed = state.error_message or "", entry.error_message or ""
        message = checkpoint.error_message or (own if own.startswith(listed) else listed)
        state = replace(
            state,
            status=entry.status,
            error_message=message_or_none(message or None),
            submitted_at=format_iso_time(entry.submitted_at),
            completed_at=state.completed_at or format_iso_time(entry.completed_at),
            workspace=state.workspace or entry.workspace,
        )
    return replace(state, checkpoint_status=state.status) if trust_status else state


def make_state_from_checkpoint(
    checkpoint: Checkpoint, *, source: StateSourceName, live: bool
) -> JobState:
    """Convert a checkpoint; a missing current sheet or error is taken from the sheets.

    Raises:
        ValueError: a key of the sheets is not a sheet number.
    """
    sheets = make_sheets(checkpoint)
    if checkpoint.is_metadata_only:
        start = checkpoint.submitted_at
    else:
        start = checkpoint.started_at or checkpoint.created_at
    return JobState(
        job_id=checkpoint.job_id,
        status=cut_label(checkpoint.status),
        source=source,
        live=live,
        checkpoint_status=cut_label(checkpoint.status),
        job_name=cut_name(checkpoint.job_name),
        sheets=sheets,
        total_sheets=max(count_or_none(checkpoint.total_sheets) or 0, len(sheets)),
        completed_sheets=sum(sheet.status == "completed" for sheet in sheets),
        current_sheet=count_or_none(checkpoint.current_sheet) or first_active_sheet(sheets),
        error_message=message_or_none(checkpoint.error_message or first_sheet_error(checkpoint)),
        submitted_at=to_iso_time(checkpoint.submitted_at),
        created_at=to_iso_time(checkpoint.created_at),
        started_at=to_iso_time(checkpoint.started_at),
        updated_at=to_iso_time(checkpoint.updated_at),
        completed_at=to_iso_time(checkpoint.completed_at),
        workspace=checkpoint.workspace,
        worktree_path=checkpoint.worktree_path,
        score_path=text_or_none(checkpoint.config_path),
        estimated_cost=number_or_none(checkpoint.total_estimated_cost),
        input_tokens=count_or_none(checkpoint.total_input_tokens) or None,
        output_tokens=count_or_none(checkpoint.total_output_tokens) or None,
        hooks=make_hooks(checkpoint.hook_results),
        from_checkpoint=not checkpoint.is_metadata_only,
        run=make_run_id(start),
    )


def make_hooks(raw: msgspec.Raw | bytes) -> tuple[Hook, ...]:
    """Convert the first MAX_HOOKS results of hooks; values of another shape are left out.

    Raises:
        ValueError: the text is not JSON.
    """
    results = json_text.decode(raw, HOOK_RESULTS)
    if not isinstance(results, HOOK_LIST):
        return ()
    return tuple(
        Hook(
            hook_type=text_or_none(hook.hook_type) or "",
            success=hook.success is True,
            description=text_or_none(hook.description),
            error_message=text_or_none(hook.error_message),
            chained_job_id=text_or_none(hook.chained_job_id),
        )
        for hook in msgspec.structs.astuple(results)
        if isinstance(hook, CheckpointHook)
    )


def first_active_sheet(sheets: tuple[Sheet, ...]) -> int | None:
    """Return the number of the first sheet that is dispatched or in progress."""
    return next((sheet.number for sheet in sheets if sheet.status in ACTIVE_SHEET_STATUSES), None)


def first_sheet_error(checkpoint: Checkpoint) -> str | None:
    """Return the error message of the first sheet that failed, which may be long."""
    failed = {
        int(key): sheet.error_message
        for key, sheet in (checkpoint.sheets or {}).items()
        if sheet.status == "failed"
    }
    return failed[min(failed)] if failed else None


def mark_stopped_sheets(state: JobState) -> JobState:
    """Return the state of a job that has ended without active sheets.

    The checkpoint of a job that was cancelled, or that a crash ended, keeps its sheet dispatched.
    Once the end is certain, such a sheet gets the status `stopped`.
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
