"""Rows of the registry, converted to roster entries, checkpoint digests, and job states."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from marianne_stream.backends.checkpoint import (
    Checkpoint,
    decode_checkpoint,
    first_sheet_error,
    make_hooks,
    make_state,
    make_state_from_entry,
    to_epoch_s,
)
from marianne_stream.backends.values import count_or_none, cut_label, message_or_none
from marianne_stream.errors import CorruptStateError
from marianne_stream.models import Hook, JobState, RosterEntry, format_iso_time
from marianne_stream.value_limits import LATEST_EPOCH_S, MAX_ERROR_CHARS

logger = logging.getLogger(__name__)

# Column values by name. An older registry has fewer columns.
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CheckpointDigest:
    """The fields of a checkpoint that the roster shows. The time is in epoch seconds."""

    completed_at: float | None = None
    completed_sheets: int | None = None
    total_sheets: int | None = None
    error_message: str | None = None


def row_digest_key(row: Row) -> object:
    """Return the key of a row's digest: it changes if the row was written again."""
    return (*row_run_key(row), row.get("completed_at"), row.get("last_event_at"))


def row_run_key(row: Row) -> tuple[object, ...]:
    """Return the key of a run at one status, for which the first end is kept."""
    return (row["status"], row.get("submitted_at"), row.get("started_at"))


def digest_row_checkpoint(row: Row) -> CheckpointDigest:
    """Return the digest of a row's checkpoint.

    The row has the end, and all that is known, if the checkpoint is missing or damaged.
    """
    end, raw = epoch_s_or_none(row.get("completed_at")), row["checkpoint_json"]
    try:
        checkpoint = decode_checkpoint(raw) if raw is not None else None
    except (ValueError, OverflowError, RecursionError):
        checkpoint = None
    if checkpoint is None or checkpoint.is_metadata_only:
        return CheckpointDigest(end)
    sheets = (checkpoint.sheets or {}).values()
    own_end = epoch_s_or_none(to_epoch_s(checkpoint.completed_at))
    return CheckpointDigest(
        end if own_end is None else own_end,
        completed_sheets=sum(sheet.status == "completed" for sheet in sheets),
        total_sheets=max(count_or_none(checkpoint.total_sheets) or 0, len(sheets)),
        error_message=digest_error(checkpoint),
    )


def digest_error(checkpoint: Checkpoint) -> str | None:
    """Return the beginning of a job's error, else of its first failed sheet's; None without one."""
    try:
        message = message_or_none(checkpoint.error_message or first_sheet_error(checkpoint))
    except ValueError:
        # A key of the sheets is not a number.
        return None
    return None if message is None else message[:MAX_ERROR_CHARS]


def make_entry_from_row(row: Row) -> RosterEntry | None:
    """Convert a row to a roster entry; None if its id or status is not text.

    SQLite stores any type in any column, so a value of an unexpected type counts as missing.
    """
    job_id, status = text_or_none(row["job_id"]), text_or_none(row["status"])
    if job_id is None or status is None:
        return None
    entry = RosterEntry(
        job_id=job_id,
        status=cut_label(status),
        submitted_at=epoch_s_or_none(row.get("submitted_at")),
        started_at=epoch_s_or_none(row.get("started_at")),
        total_sheets=count_or_none(row.get("total_sheets")),
        workspace=text_or_none(row.get("workspace")),
        error_message=message_or_none(row.get("error_message")),
    )
    # The row of a job that runs again may still have the previous end.
    return (
        replace(entry, completed_at=epoch_s_or_none(row.get("completed_at")))
        if entry.is_terminal
        else entry
    )


def make_state_from_row(job_id: str, row: Row) -> JobState:
    """Convert a row with its checkpoint; raise CorruptStateError if either is damaged."""
    entry = make_entry_from_row(row)
    if entry is None:
        raise CorruptStateError(f"the registry's row of the job {job_id!r} has no status")
    state = decode_row_state(entry, row)
    return replace(
        state,
        job_id=entry.job_id,
        error_message=state.error_message or message_or_none(row.get("error_message")),
        completed_at=state.completed_at or format_iso_time(entry.completed_at),
        snapshot_path=text_or_none(row.get("snapshot_path")),
        # The conductor writes the results of hooks here only.
        hooks=state.hooks or decode_hooks(row.get("hook_results_json")),
    )


def decode_row_state(entry: RosterEntry, row: Row) -> JobState:
    """Return the state from the row's checkpoint, or from the entry if it has none.

    Raise CorruptStateError if the checkpoint cannot be decoded.
    """
    raw = row.get("checkpoint_json")
    if raw is None:
        return make_state_from_entry(entry, source="registry", live=False)
    try:
        checkpoint = decode_checkpoint(bytes(raw))
        # The job's own message takes precedence over that of a sheet.
        message = checkpoint.error_message or message_or_none(row.get("error_message"))
        checkpoint = msgspec.structs.replace(checkpoint, error_message=message)
        return make_state(checkpoint, entry, source="registry", live=False, trust_status=True)
    except (ValueError, OverflowError, OSError, RecursionError) as error:
        raise CorruptStateError(
            f"the registry's checkpoint of the job {entry.job_id!r} cannot be decoded: {error}"
        ) from error


def decode_hooks(value: object) -> tuple[Hook, ...]:
    """Return the results of hooks in a row; none if they cannot be decoded."""
    if not isinstance(value, str):
        return ()
    try:
        return make_hooks(value.encode(errors="replace"))
    except (ValueError, RecursionError) as error:
        logger.debug("hook results not decoded error=%s", error)
        return ()


def text_or_none(value: object) -> str | None:
    """Return a value if it is text, otherwise None."""
    return value if isinstance(value, str) else None


def epoch_s_or_none(value: object) -> float | None:
    """Return a value if it is a time in epoch seconds, otherwise None."""
    if not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < LATEST_EPOCH_S else None
