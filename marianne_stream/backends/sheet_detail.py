"""Details of one sheet of a checkpoint, decoded for a request only.

Values are passed on as the conductor wrote them, without those that mean "not known": null, empty
lists and texts, and zeros (docs/explanation/conductor.md). Values of an unexpected type count as
missing. No more is decoded than is sent: a huge value would hold the interpreter.
"""

from typing import Any

import msgspec

from marianne_stream.backends.checkpoint import CheckpointSheet, make_sheet, time_or_none
from marianne_stream.backends.values import MAX_TEXT_CHARS, AnyValue, number_or_none
from marianne_stream.errors import SheetNotFoundError
from marianne_stream.models import Sheet, format_iso_time
from marianne_stream.wire import json_text

# Limits of values that are no texts: size as JSON, items of each list or object, and depth.
MAX_VALUE_BYTES = 64 * 1024
MAX_ITEMS = 200
MAX_DEPTH = 6

TEXT_FIELDS = (
    *("instrument_model", "model", "execution_mode", "exit_reason", "error_category"),
    *("error_message", "outcome_category", "display_status", "stdout_tail", "stderr_tail"),
)

# Fields that are passed on whatever their type is.
VALUE_FIELDS = (
    *("movement", "voice", "exit_signal", "validation_passed", "validation_details"),
    *("passed_validations", "failed_validations", "output_truncated", "error_history"),
    *("instrument_fallback_history", "fallback_attempts", "fallback_chain", "preflight_warnings"),
)

# Fields that are numbers above 0, and their names in responses.
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

DETAIL_FIELDS = msgspec.defstruct(
    "DetailFields",
    [
        *(
            (name, AnyValue, None)
            for name in (*TEXT_FIELDS, *NUMBER_FIELDS, "last_activity_at", "exit_code")
        ),
        *((name, msgspec.Raw, msgspec.Raw(b"null")) for name in VALUE_FIELDS),
    ],
)


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
    raw = find_sheet(checkpoint, number)
    if raw is None:
        raise SheetNotFoundError(detail=f"The job has no sheet {number}.")
    sheet = make_sheet(number, json_text.decode(raw, CheckpointSheet))
    return sheet, make_fields(json_text.decode(raw, DETAIL_FIELDS))


def find_sheet(checkpoint: bytes, number: int) -> msgspec.Raw | None:
    """Return a sheet of a checkpoint, not decoded; None if it has no such sheet."""
    # A type for this number alone: a dictionary would have all sheets.
    sheets = msgspec.defstruct(
        "Sheets",
        [("sheet", msgspec.Raw, msgspec.Raw())],
        rename={"sheet": str(number)},
        frozen=True,
    )
    document: Any = msgspec.defstruct("Document", [("sheets", sheets, sheets())])
    found: msgspec.Raw = json_text.decode(checkpoint, document).sheets.sheet
    return found if bytes(found) else None


def make_fields(detail: Any) -> dict[str, Any]:
    """Return the fields of a sheet that are known, and the names of those that are too large."""
    fields: dict[str, Any] = {
        name: text[-MAX_TEXT_CHARS:] if isinstance(text := getattr(detail, name), str) else None
        for name in TEXT_FIELDS
    }
    omitted = []
    for name in VALUE_FIELDS:
        raw = getattr(detail, name)
        if len(bytes(raw)) > MAX_VALUE_BYTES:
            omitted.append(name)
        else:
            fields[name] = bounded(json_text.decode(raw, object))
    for name, public_name in NUMBER_FIELDS.items():
        fields[public_name] = fields.get(public_name) or number_or_none(getattr(detail, name))
    fields["last_activity_at"] = format_iso_time(time_or_none(detail.last_activity_at))
    # 0 is an exit code; in other fields it means that the value is unknown.
    exit_code = detail.exit_code
    fields["exit_code"] = exit_code if type(exit_code) is int else None
    fields["output_truncated"] = fields.get("output_truncated") or None
    fields["omitted"] = omitted
    return {name: value for name, value in fields.items() if is_known(value)}


def is_known(value: object) -> bool:
    """Return whether a value is known: the conductor writes null, "" and [] otherwise."""
    return value is not None and value not in ("", [], {})


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
