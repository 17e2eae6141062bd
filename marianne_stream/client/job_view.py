"""`show` and `runs`: one job with its sheets, and the recorded runs of a job."""

from collections.abc import Iterable
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import (
    JobDetailBody,
    RunBody,
    RunPageBody,
    SheetBody,
    SheetErrorBody,
)
from marianne_stream.client.fitted_table import FittedRow, FittedTable, TableColumn
from marianne_stream.client.output import Output, status_style
from marianne_stream.client.progress_bar import format_sheet_count
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.sheet_table import make_sheet_table
from marianne_stream.client.times import (
    format_date_time,
    format_duration,
    format_time,
    parse_iso_time,
)

GAP_COLUMNS = 2

# Sheets whose error is requested because the list of sheets has cut it.
MAX_FULL_ERRORS = 20


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
        sheets = await fetch_full_errors(client, job)
        table = make_sheet_table(
            sheets,
            now_s,
            width=output.console.width,
            has_bars=output.can_redraw,
            stalled=job.stalled,
        )
        table.print(output.console)
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
    table = make_run_table(runs, client.clock.now_s(), width=output.console.width)
    table.print(output.console)
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
        (
            "cost",
            plain(format_amounts(job.estimated_cost, job.input_tokens, job.output_tokens)),
        ),
        ("error", Text(strip_to_one_line(job.error_message or ""), style="fault")),
        ("resume with", plain(job.resume_command)),
    ]
    facts += [("hook", plain(format_hook(hook))) for hook in job.hooks]
    return [(name, value) for name, value in facts if value.plain]


def format_amounts(
    estimated_cost: float | None, input_tokens: int | None, output_tokens: int | None
) -> str:
    """Format an estimated cost and tokens; "" if they are unknown."""
    parts = []
    if estimated_cost is not None:
        parts.append(f"{estimated_cost:.2f} US dollars (estimated)")
    if input_tokens is not None:
        parts.append(f"{input_tokens:,} tokens in")
    if output_tokens is not None:
        parts.append(f"{output_tokens:,} tokens out")
    return ", ".join(parts)


def format_hook(hook: dict[str, Any]) -> str:
    """Format the result of a hook."""
    name = hook.get("description") or hook.get("hook_type")
    result = "ok" if hook.get("success") else f"failed: {hook.get('error_message') or 'no reason'}"
    chained = hook.get("chained_job_id")
    return f"{name}: {result}" + (f", started {chained}" if chained else "")


async def fetch_full_errors(client: ApiClient, job: JobDetailBody) -> list[SheetBody]:
    """Return the sheets of a job, the first few of those whose error is cut with all of it."""
    sheets = {sheet.number: sheet for sheet in job.sheets}
    for sheet in [sheet for sheet in job.sheets if sheet.error_truncated][:MAX_FULL_ERRORS]:
        path = job_path(job.job_id, f"/sheets/{sheet.number}")
        detail = await client.get_json_with_retry(path, {}, SheetErrorBody)
        sheets[sheet.number] = msgspec.structs.replace(
            sheet, error_message=detail.error_message, error_truncated=False
        )
    return list(sheets.values())


def make_run_table(runs: Iterable[RunBody], now_s: float, *, width: int) -> FittedTable:
    """Return the table of a job's runs."""
    columns = [
        *(TableColumn("RUN", rank=3), TableColumn("STATUS"), TableColumn("SHEETS")),
        *(TableColumn("STARTED", rank=1), TableColumn("DURATION", rank=2)),
    ]
    rows = [
        FittedRow(
            [
                (strip_to_one_line(run.run), ""),
                (strip_to_one_line(run.status), status_style(run.status)),
                (format_sheet_count(run.completed_sheets, run.total_sheets), ""),
                (format_moment(run.started_at), ""),
                (format_span(run.started_at, run.completed_at, now_s), ""),
            ],
            run.error_message or "",
        )
        for run in runs
    ]
    return FittedTable(columns, rows, note_heading="ERROR", width=width)


def print_facts(output: Output, facts: list[tuple[str, Text]]) -> None:
    """Print names and values in two columns."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP_COLUMNS, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="quiet")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    output.console.print(table)


def plain(text: str | None) -> Text:
    """Return a text without control characters."""
    return Text(strip_to_one_line(text or ""))


def format_moment(text: str | None, *, with_date: bool = True) -> str:
    """Format a time of the server in local time; "" if it is unknown."""
    moment_s = parse_iso_time(text)
    if moment_s is None:
        return ""
    return format_date_time(moment_s) if with_date else format_time(moment_s)


def format_span(started_at: str | None, completed_at: str | None, now_s: float | None) -> str:
    """Format the time from a start to an end, or until now; "" if either is unknown."""
    started_s, completed_s = parse_iso_time(started_at), parse_iso_time(completed_at)
    end_s = now_s if completed_s is None else completed_s
    return "" if started_s is None or end_s is None else format_duration(end_s - started_s)
