"""`show --sheet`: everything that is known of one sheet, and the end of its output."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from rich.text import Text

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import SheetTimesBody
from marianne_stream.client.facts import (
    ENDED_STATUSES,
    format_amounts,
    format_moment,
    format_span,
    has_begun,
    plain,
    print_facts,
)
from marianne_stream.client.output import Output
from marianne_stream.client.readiness import find_known_time
from marianne_stream.client.sanitize import strip_to_lines
from marianne_stream.client.sheet_table import sheet_style
from marianne_stream.common.durations import format_duration

# Names of fields whose own name does not say enough, or has words that need an explanation.
NAMES = {
    "job_id": "job",
    "number": "sheet",
    "started_at": "started",
    "completed_at": "ended",
    "last_activity_at": "last activity",
    "waiting_until": "waits until",
    "work_s": "duration without waits",
    "execution_duration_s": "duration of last attempt",
    "timeout_s": "timeout",
    "instrument_name": "instrument",
    "instrument_model": "instrument's model",
    "display_status": "conductor's status",
    "healing_attempts": "repair attempts",
    "max_completion": "completion attempts at most",
    "last_pass_percentage": "validations passed in percent",
    "confidence_score": "confidence",
    "outcome_category": "outcome",
    "fallback_chain": "other instruments to try",
    "fallback_attempts": "attempts with other instruments",
    "instrument_fallback_history": "earlier instruments",
    "omitted": "too long to be shown",
}
REMARKS = {
    "observed": ("times", "seen by the server, not told by the conductor"),
    "estimated": ("start", "computed from the end and the duration without waits"),
}
# Fields that are shown with another one: a limit with the attempt, cost and tokens together.
ATTEMPT_FIELDS = frozenset({"max_retries"})
AMOUNT_FIELDS = ("estimated_cost", "input_tokens", "output_tokens")
OUTPUT_FIELDS = frozenset({"stdout_tail", "stderr_tail", "output_truncated"})
# Fields that are printed below the others, with their headings.
TEXTS = {"error_message": "error", "stdout_tail": "output", "stderr_tail": "error output"}
HIDDEN_FIELDS = {*TEXTS, *ATTEMPT_FIELDS, *AMOUNT_FIELDS, *OUTPUT_FIELDS}

OPEN_OUTPUT_TEXT = "The conductor tells the output once the sheet has ended."
NO_OUTPUT_TEXT = "This conductor keeps no output of this sheet."
OMITTED_OUTPUT_TEXT = "The output is too long to be shown here."
CUT_OUTPUT_TEXT = "The conductor has kept only the end of the output."


async def print_sheet(
    client: ApiClient, output: Output, job_id: str, number: int, *, as_json: bool
) -> int:
    """Print everything that is known of a sheet, and return the exit code.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    body = await client.get_json_with_retry(
        job_path(job_id, f"/sheets/{number}"), {}, dict[str, Any]
    )
    if as_json:
        output.write_objects([body])
        return 0
    is_running = bool(body.get("started_at")) and not body.get("completed_at")
    known_s = await find_known_time(client, [str(body.get("status"))] if is_running else [])
    print_facts(output, sheet_facts(body, known_s))
    for field, heading in TEXTS.items():
        if text := body.get(field):
            is_error = field == "error_message"
            # The conductor gives the reason of a skip as an error.
            is_reason = is_error and body.get("status") == "skipped"
            output.console.print()
            output.console.print(Text("reason" if is_reason else heading, style="quiet"))
            style = "fault" if is_error and not is_reason else ""
            for line in strip_to_lines(str(text)):
                output.console.print(Text(line, style=style), soft_wrap=True)
    if sentence := describe_output(body):
        output.console.print()
        output.console.print(Text(sentence, style="quiet"))
    return 0


def sheet_facts(sheet: Mapping[str, Any], now_s: float | None) -> list[tuple[str, Text]]:
    """Return the names and values of what is known of a sheet, on a line or a few each.

    `now_s` is the time up to which that is known, or None.
    """
    facts: list[tuple[str, Text]] = []
    for field, value in sheet.items():
        if field in HIDDEN_FIELDS or value in (None, "", [], {}):
            continue
        name = field_name(field)
        if field == "status":
            facts.append((name, plain(str(value), sheet_style(str(value)))))
        elif field in REMARKS:
            facts.append((REMARKS[field][0], plain(REMARKS[field][1])))
        elif field == "attempt":
            facts.append((name, plain(format_attempt(sheet))))
        elif field == "omitted":
            facts.append((name, plain(format_omitted(value))))
        elif isinstance(value, list):
            names = [name, *[""] * (len(value) - 1)]
            facts += zip(names, map(format_item, value), strict=True)
        else:
            facts.append((name, plain(format_field(field, value))))
        if field == "completed_at" or (field == "started_at" and not sheet.get("completed_at")):
            facts.append(("duration", plain(format_sheet_duration(sheet, now_s))))
    facts.append(("cost", plain(format_amounts(*(sheet.get(field) for field in AMOUNT_FIELDS)))))
    return [(name, value) for name, value in facts if value.plain]


def format_sheet_duration(sheet: Mapping[str, Any], now_s: float | None) -> str:
    """Format the duration of a sheet; "" if its start or its end is unknown."""
    times = (sheet.get("started_at"), sheet.get("completed_at"))
    return format_span(str(sheet.get("status")), *times, now_s)


def format_omitted(fields: Iterable[str]) -> str:
    """Format the names of fields that the server has left out, without those of the output."""
    return ", ".join(field_name(field) for field in fields if field not in OUTPUT_FIELDS)


def field_name(field: str) -> str:
    """Return the name of a field in words."""
    return NAMES.get(field, field.replace("_", " "))


def format_attempt(sheet: Mapping[str, Any]) -> str:
    """Format the number of an attempt, and the limit if the attempt is within it."""
    attempt, limit = sheet.get("attempt"), sheet.get("max_retries")
    is_within = isinstance(attempt, int) and isinstance(limit, int) and attempt <= limit
    return f"{attempt} of {limit}" if is_within else f"{attempt}"


def format_field(field: str, value: object) -> str:
    """Format a field on one line: times in local time, durations in their units."""
    if isinstance(value, str):
        return format_moment(value) if field.endswith(("_at", "_until")) else value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and field.endswith("_s"):
        return format_duration(value)
    return msgspec.json.encode(value).decode()


def format_item(value: object) -> Text:
    """Format an item of a list: its fields as words, if it has any."""
    if isinstance(value, dict):
        pairs = (f"{name}: {format_field(str(name), each)}" for name, each in value.items())
        return plain(", ".join(pairs))
    return plain(format_field("", value))


def describe_output(sheet: Mapping[str, Any]) -> str:
    """Return a sentence about output that is missing or cut; "" if nothing is to be said."""
    omitted = sheet.get("omitted") or []
    if "stdout_tail" in omitted or "stderr_tail" in omitted:
        return OMITTED_OUTPUT_TEXT
    if sheet.get("stdout_tail") or sheet.get("stderr_tail"):
        return CUT_OUTPUT_TEXT if sheet.get("output_truncated") else ""
    if not has_begun(msgspec.convert(sheet, SheetTimesBody)):
        return ""
    return NO_OUTPUT_TEXT if sheet.get("status") in ENDED_STATUSES else OPEN_OUTPUT_TEXT
