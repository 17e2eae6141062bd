"""`show --sheet`: everything that is known of one sheet, and the end of its output."""

from collections.abc import Mapping
from typing import Any

import msgspec
from rich.text import Text

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.job_view import format_amounts, format_moment, plain, print_facts
from marianne_stream.client.output import Output
from marianne_stream.client.sanitize import strip_controls
from marianne_stream.client.sheet_table import sheet_style
from marianne_stream.client.times import format_duration, parse_iso_time

# Fields whose name does not say enough, and that of others is formed from.
NAMES = {
    "job_id": "job",
    "number": "sheet",
    "started_at": "started",
    "completed_at": "ended",
    "last_activity_at": "last activity",
    "waiting_until": "waits until",
    "work_s": "at work",
    "execution_duration_s": "last execution",
    "timeout_s": "timeout",
    "instrument_name": "instrument",
    "instrument_model": "model of instrument",
}
REMARKS = {
    "observed": ("times", "seen by the server, not told by the conductor"),
    "estimated": ("start", "computed from the end and the time at work"),
}
# Fields that another one includes, or that are printed below.
ATTEMPT_FIELDS = frozenset({"max_retries"})
AMOUNT_FIELDS = ("estimated_cost", "input_tokens", "output_tokens")
TEXTS = {"error_message": "error", "stdout_tail": "output", "stderr_tail": "error output"}

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
    print_facts(output, sheet_facts(body, client.clock.now_s()))
    for field, heading in TEXTS.items():
        if text := body.get(field):
            output.console.print()
            output.console.print(Text(heading, style="quiet"))
            for line in str(text).splitlines():
                style = "fault" if field == "error_message" else ""
                output.console.print(Text(strip_controls(line), style=style), soft_wrap=True)
    if sentence := describe_output(body):
        output.console.print()
        output.console.print(Text(sentence, style="quiet"))
    return 0


def sheet_facts(sheet: Mapping[str, Any], now_s: float) -> list[tuple[str, Text]]:
    """Return the names and values of what is known of a sheet, on a line or a few each."""
    facts: list[tuple[str, Text]] = []
    for field, value in sheet.items():
        if field in TEXTS or field in ATTEMPT_FIELDS or field in AMOUNT_FIELDS or value is None:
            continue
        name = NAMES.get(field, field.replace("_", " "))
        if field == "status":
            facts.append((name, Text(plain(str(value)).plain, style=sheet_style(str(value)))))
        elif field in REMARKS:
            facts.append((REMARKS[field][0], plain(REMARKS[field][1])))
        elif field == "attempt":
            facts.append((name, plain(format_attempt(sheet))))
        elif isinstance(value, list) and value:
            names = [name, *[""] * (len(value) - 1)]
            facts += zip(names, map(format_item, value), strict=True)
        else:
            facts.append((name, plain(format_field(field, value))))
        if field == "completed_at" or (field == "started_at" and "completed_at" not in sheet):
            facts.append(("duration", plain(format_sheet_duration(sheet, now_s))))
    facts.append(("cost", plain(format_amounts(*(sheet.get(field) for field in AMOUNT_FIELDS)))))
    return [(name, value) for name, value in facts if value.plain]


def format_sheet_duration(sheet: Mapping[str, Any], now_s: float) -> str:
    """Format the time from the start of a sheet to its end, or until now."""
    started_s = parse_iso_time(sheet.get("started_at"))
    ended_s = parse_iso_time(sheet.get("completed_at"))
    if started_s is None:
        return ""
    return format_duration((now_s if ended_s is None else ended_s) - started_s)


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
    return NO_OUTPUT_TEXT if sheet.get("started_at") or sheet.get("attempt") else ""
