"""`show` and `runs`: one job with its sheets, one sheet in full, and the recorded runs of a job."""

from collections.abc import Iterable
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import JobDetailBody, RunBody, RunPageBody, SheetBody
from marianne_stream.client.output import Output, status_style
from marianne_stream.client.progress_bar import format_sheet_count
from marianne_stream.client.sanitize import strip_controls, strip_to_one_line
from marianne_stream.client.times import (
    format_date_time,
    format_duration,
    format_time,
    parse_iso_time,
)

GAP_COLUMNS = 2
UNKNOWN_TEXT = "-"

ENDED_SHEETS = frozenset({"completed", "failed", "cancelled", "stopped", "skipped"})

# Fields of a sheet that are printed below the others, as they are.
TEXT_FIELDS = ("error_message", "stdout_tail", "stderr_tail")


async def print_job(client: ApiClient, output: Output, job_id: str, *, as_json: bool) -> int:
    """Print a job with a table of its sheets, and return the exit code.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    body = await client.get_json_with_retry(job_path(job_id), {}, dict[str, Any])
    if as_json:
        output.write_objects([body])
        return 0
    job = msgspec.convert(body, JobDetailBody)
    now_s = client.clock.now_s()
    print_facts(output, job_facts(job, now_s))
    if job.sheets:
        output.console.print()
        output.console.print(make_sheet_table(job.sheets, now_s))
    return 0


async def print_sheet(
    client: ApiClient, output: Output, job_id: str, number: int, *, as_json: bool
) -> int:
    """Print everything that is known of a sheet; raises as `print_job` does."""
    body = await client.get_json_with_retry(
        job_path(job_id, f"/sheets/{number}"), {}, dict[str, Any]
    )
    if as_json:
        output.write_objects([body])
        return 0
    facts = [(name, format_value(value)) for name, value in body.items() if name not in TEXT_FIELDS]
    print_facts(output, facts)
    for name in TEXT_FIELDS:
        if text := body.get(name):
            output.console.print()
            output.console.print(Text(name, style="quiet"))
            for line in str(text).splitlines():
                output.console.print(Text(strip_controls(line)), soft_wrap=True)
    return 0


async def print_runs(
    client: ApiClient, output: Output, job_id: str, limit: int, *, as_json: bool
) -> int:
    """Print the recorded runs of a job, newest first; raises as `print_job` does."""
    page = await client.get_json_with_retry(
        job_path(job_id, "/runs"), {"limit": str(limit)}, RunPageBody
    )
    if as_json:
        output.write_objects(page.runs)
        return 0
    if not page.runs:
        client.reporter.report("no run was recorded yet")
        return 0
    runs = [msgspec.convert(run, RunBody) for run in page.runs]
    output.console.print(make_run_table(runs, client.clock.now_s()))
    return 0


def job_facts(job: JobDetailBody, now_s: float) -> list[tuple[str, Text]]:
    """Return the names and values of what is known of a job."""
    status = Text(strip_to_one_line(job.status), style=status_style(job.status))
    if count := format_sheet_count(job.completed_sheets, job.total_sheets):
        status.append(f", {count} sheets", style="")
    facts: list[tuple[str, Text]] = [("job", plain(job.job_id)), ("status", status)]
    if job.waiting is not None:
        until = format_moment(job.waiting.until)
        facts.append(("waits", plain(job.waiting.detail + (f" Until {until}." if until else ""))))
    if job.stalled:
        numbers = ", ".join(map(str, job.stalled))
        facts.append(("stalled", Text(f"no sign of life from sheet {numbers}", style="fault")))
    facts += [
        ("started", plain(format_moment(job.started_at))),
        ("duration", plain(format_span(job.started_at, job.completed_at, now_s))),
        ("ends about", plain(format_moment(job.eta_at))),
        ("cost", plain(format_cost(job))),
        ("error", Text(strip_to_one_line(job.error_message or ""), style="fault")),
        ("resume with", plain(job.resume_command)),
    ]
    facts += [("hook", plain(format_hook(hook))) for hook in job.hooks]
    return [(name, value) for name, value in facts if value.plain]


def format_cost(job: JobDetailBody) -> str:
    """Format the estimated cost and the tokens of a job; "" if they are unknown."""
    parts = []
    if job.estimated_cost is not None:
        parts.append(f"{job.estimated_cost:.2f} US dollars (estimated)")
    if job.input_tokens is not None:
        parts.append(f"{job.input_tokens:,} tokens in")
    if job.output_tokens is not None:
        parts.append(f"{job.output_tokens:,} tokens out")
    return ", ".join(parts)


def format_hook(hook: dict[str, Any]) -> str:
    """Format the result of a hook."""
    name = hook.get("description") or hook.get("hook_type")
    result = "ok" if hook.get("success") else f"failed: {hook.get('error_message') or 'no reason'}"
    chained = hook.get("chained_job_id")
    return f"{name}: {result}" + (f", started {chained}" if chained else "")


def make_sheet_table(sheets: Iterable[SheetBody], now_s: float) -> Table:
    """Return the table of a job's sheets; errors are wrapped, not cut."""
    table = make_table("SHEET", "STATUS", "ATTEMPT", "STARTED", "DURATION", "ERROR")
    for sheet in sheets:
        table.add_row(
            Text(str(sheet.number)),
            Text(strip_to_one_line(sheet.status), style=status_style(sheet.status)),
            Text("" if sheet.attempt is None else str(sheet.attempt)),
            Text(format_moment(sheet.started_at, with_date=False)),
            Text(format_span(sheet.started_at, sheet.completed_at, sheet_end_s(sheet, now_s))),
            Text(strip_to_one_line(sheet.error_message or ""), style="fault"),
        )
    return table


def make_run_table(runs: Iterable[RunBody], now_s: float) -> Table:
    """Return the table of a job's runs."""
    table = make_table("RUN", "STATUS", "SHEETS", "STARTED", "DURATION", "ERROR")
    for run in runs:
        table.add_row(
            Text(strip_to_one_line(run.run)),
            Text(strip_to_one_line(run.status), style=status_style(run.status)),
            Text(format_sheet_count(run.completed_sheets, run.total_sheets)),
            Text(format_moment(run.started_at)),
            Text(format_span(run.started_at, run.completed_at, now_s)),
            Text(strip_to_one_line(run.error_message or ""), style="fault"),
        )
    return table


def make_table(*headings: str) -> Table:
    """Return a table whose last column is wrapped."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP_COLUMNS, 0, 0), header_style="quiet")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != headings[-1], overflow="fold")
    return table


def print_facts(output: Output, facts: list[tuple[str, Text]]) -> None:
    """Print names and values in two columns."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP_COLUMNS, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="quiet")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    output.console.print(table)


def format_value(value: object) -> Text:
    """Format a value of a sheet on one line."""
    return plain(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def plain(text: str | None) -> Text:
    """Return a text without control characters."""
    return Text(strip_to_one_line(text or ""))


def format_moment(text: str | None, *, with_date: bool = True) -> str:
    """Format a time of the server in local time; "" if it is unknown."""
    moment_s = parse_iso_time(text)
    if moment_s is None:
        return ""
    return format_date_time(moment_s) if with_date else format_time(moment_s)


def sheet_end_s(sheet: SheetBody, now_s: float) -> float | None:
    """Return the current time for a sheet that goes on; None for one that has ended."""
    return None if sheet.status in ENDED_SHEETS else now_s


def format_span(started_at: str | None, completed_at: str | None, now_s: float | None) -> str:
    """Format the time from a start to an end, or until now; "" if either is unknown."""
    started_s, completed_s = parse_iso_time(started_at), parse_iso_time(completed_at)
    end_s = now_s if completed_s is None else completed_s
    return "" if started_s is None or end_s is None else format_duration(end_s - started_s)
