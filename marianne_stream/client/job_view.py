"""`show` and `runs`: one job with its sheets, and the recorded runs of a job."""

from collections.abc import Iterable
from typing import Any

import msgspec
from rich.text import Text

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import (
    JobDetailBody,
    RunBody,
    RunPageBody,
    SheetBody,
    SheetErrorBody,
    StatusBody,
)
from marianne_stream.client.cli_errors import CliJobNotFoundError
from marianne_stream.client.facts import (
    ENDED_STATUSES,
    format_amounts,
    format_moment,
    format_stalled,
    format_wait,
    plain,
    plain_lines,
    print_facts,
)
from marianne_stream.client.fitted_table import FittedRow, FittedTable, TableColumn
from marianne_stream.client.messages import describe_source
from marianne_stream.client.output import Output, status_style
from marianne_stream.client.progress_bar import format_sheet_count
from marianne_stream.client.readiness import find_known_time
from marianne_stream.client.run_span import format_run_duration
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.sheet_table import has_own_error, make_sheet_table

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
    # A job that has ended does not change any more.
    note = "" if job.status in ENDED_STATUSES else describe_source(body)
    now_s = None if note else client.clock.now_s()
    print_facts(output, job_facts(job, now_s, note))
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
    now_s = await find_known_time(client, [run.status for run in runs])
    is_current = now_s is not None and any(run.status not in ENDED_STATUSES for run in runs)
    current = await fetch_status(client, job_id) if is_current else None
    table = make_run_table(runs, current, now_s, width=output.console.width)
    table.print(output.console)
    return 0


def job_facts(job: JobDetailBody, now_s: float | None, note: str = "") -> list[tuple[str, Text]]:
    """Return the names and values of what is known of a job.

    `now_s` is the time up to which that is known, or None. `note` says why it is not live.
    """
    status = plain(job.status, status_style(job.status))
    if count := format_sheet_count(job.completed_sheets, job.total_sheets):
        status.append(f", {count} sheets", style="none")
    error = job.error_message if has_own_error(job.error_message, job.sheets) else ""
    amounts = format_amounts(job.estimated_cost, job.input_tokens, job.output_tokens)
    facts = [
        ("job", plain(job.job_id)),
        ("status", status),
        ("not live", plain(note, "fault")),
        ("waits", plain(format_wait(job.waiting, None) if job.waiting else "")),
        ("stalled", plain(format_stalled(job.stalled), "fault")),
        ("started", plain(format_moment(job.started_at))),
        ("duration", plain(format_run_duration(job, now_s))),
        ("ends about", plain(format_moment(job.eta_at))),
        ("cost", plain(amounts)),
        ("error", plain_lines(error, "fault")),
        ("resume with", plain(job.resume_command)),
        *(("hook", plain(format_hook(hook))) for hook in job.hooks),
    ]
    return [(name, value) for name, value in facts if value.plain]


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


async def fetch_status(client: ApiClient, job_id: str) -> StatusBody | None:
    """Return the state of a job; None if the conductor has forgotten it."""
    try:
        return await client.get_json_with_retry(job_path(job_id, "/status"), {}, StatusBody)
    except CliJobNotFoundError:
        return None


def make_run_table(
    runs: Iterable[RunBody], current: StatusBody | None, now_s: float | None, *, width: int
) -> FittedTable:
    """Return the table of a job's runs; `current` is the state of the one that goes on."""
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
                (describe_run_duration(run, current, now_s), ""),
            ],
            run.error_message or "",
        )
        for run in runs
    ]
    return FittedTable(columns, rows, note_heading="ERROR", width=width)


def describe_run_duration(run: RunBody, current: StatusBody | None, now_s: float | None) -> str:
    """Format how long a run has worked; "" if it has ended unseen, or does not go on."""
    if run.status in ENDED_STATUSES:
        return format_run_duration(run, now_s)
    # The record of a run counts its waits until its last change only.
    if current is None or current.run != run.run:
        return ""
    return format_run_duration(current, now_s)
