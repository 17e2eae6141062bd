"""Details of one sheet of a checkpoint, decoded only when they are asked for.

Values are passed on as the conductor wrote them, without those that mean "not known": null, empty
lists and texts, and zeros (docs/explanation/conductor.md).
"""

from typing import Any

import msgspec

from marianne_stream.backends.checkpoint import (
    CheckpointSheet,
    make_sheet,
    time_or_none,
)
from marianne_stream.backends.values import number_or_none
from marianne_stream.errors import SheetNotFoundError
from marianne_stream.models import Sheet, format_iso_time
from marianne_stream.wire import json_text

# Limit of each text, in characters: the conductor keeps up to 50 KB of an output.
MAX_TEXT_CHARS = 64 * 1024

# Limits of nested values: items of each list or object, and depth.
MAX_ITEMS = 200
MAX_DEPTH = 6

# Fields that are passed on as they are, and those that are numbers above 0.
PLAIN_FIELDS = (
    *("movement", "voice", "instrument_model", "model", "execution_mode", "exit_signal"),
    *("exit_reason", "error_category", "error_message", "validation_passed", "validation_details"),
    *("passed_validations", "failed_validations", "stdout_tail", "stderr_tail"),
    *("output_truncated", "error_history", "instrument_fallback_history", "fallback_attempts"),
    *("fallback_chain", "preflight_warnings", "outcome_category", "display_status"),
)
NUMBER_FIELDS = {
    "normal_attempts": "failed_attempts",
    "completion_attempts": "completion_attempts",
    "healing_attempts": "healing_attempts",
    "max_retries": "max_retries",
    "max_completion": "max_completion",
    "execution_duration_seconds": "execution_duration_s",
    "total_duration_seconds": "work_s",
    "sheet_timeout_seconds": "timeout_s",
    "total_cost_usd": "estimated_cost",
    "estimated_cost": "estimated_cost",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "last_pass_percentage": "last_pass_percentage",
    "confidence_score": "confidence_score",
}


class RawSheets(msgspec.Struct, frozen=True):
    """The sheets of a checkpoint, not decoded."""

    sheets: dict[str, msgspec.Raw] = {}


def decode_sheet_detail(checkpoint: bytes, number: int) -> tuple[Sheet, dict[str, Any]]:
    """Decode one sheet of a checkpoint.

    Args:
        checkpoint: the checkpoint as JSON.
        number: number of the sheet.

    Returns:
        the sheet as in a state, and its other fields by their names in responses.

    Raises:
        SheetNotFoundError: it has no such sheet.
        ValueError: invalid JSON, or not a checkpoint.
    """
    raw = json_text.decode(checkpoint, RawSheets).sheets.get(str(number))
    if raw is None:
        raise SheetNotFoundError(detail=f"The job has no sheet {number}.")
    sheet = make_sheet(number, json_text.decode(raw, CheckpointSheet))
    told = json_text.decode(raw, dict[str, Any])
    return sheet, make_fields(told)


def make_fields(told: dict[str, Any]) -> dict[str, Any]:
    """Return the known fields of a sheet."""
    fields = {name: bounded(told.get(name)) for name in PLAIN_FIELDS}
    for name, public_name in NUMBER_FIELDS.items():
        fields[public_name] = fields.get(public_name) or number_or_none(told.get(name))
    fields["last_activity_at"] = format_iso_time(time_or_none(scalar(told.get("last_activity_at"))))
    # Unlike other zeros, this one is told.
    exit_code = told.get("exit_code")
    fields["exit_code"] = exit_code if isinstance(exit_code, int) else None
    if not fields["output_truncated"]:
        del fields["output_truncated"]
    return {name: value for name, value in fields.items() if is_known(value)}


def is_known(value: object) -> bool:
    """Return whether a value says something: the conductor writes null, "" and [] otherwise."""
    return value is not None and value not in ("", [], {})


def scalar(value: object) -> str | int | float | None:
    """Return a text or number; None for other values."""
    return value if isinstance(value, str | int | float) else None


def bounded(value: object, depth: int = MAX_DEPTH) -> object:
    """Return a value with its texts, lists and objects cut to the limits."""
    if isinstance(value, str):
        return value[-MAX_TEXT_CHARS:]
    if isinstance(value, list | dict) and not depth:
        return None
    if isinstance(value, list):
        return [bounded(item, depth - 1) for item in value[:MAX_ITEMS]]
    if isinstance(value, dict):
        items = list(value.items())[:MAX_ITEMS]
        return {str(key)[:MAX_ITEMS]: bounded(item, depth - 1) for key, item in items}
    return value
