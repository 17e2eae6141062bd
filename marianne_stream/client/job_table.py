"""`jobs`: the roster as a table."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import JobBody, JobPageBody
from marianne_stream.client.output import Output, status_style, truncate_middle
from marianne_stream.client.progress_bar import format_sheet_count, make_progress_bar
from marianne_stream.client.readiness import find_known_time
from marianne_stream.client.run_span import format_run_duration
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.times import format_near_time, parse_iso_time
from marianne_stream.errors import SettingsError

JOBS_PER_PAGE = 1000

UNKNOWN_TEXT = "-"
BAR_COLUMNS = 12
GAP_COLUMNS = 2
# Bars, and the start times, are left out if names would get less room than this.
MIN_NAME_COLUMNS_WITH_BAR = 24
MIN_NAME_COLUMNS_WITH_START = 16

# Statuses of a conductor 0.1.0; a newer one may have more.
KNOWN_STATUSES = (
    *("queued", "pending", "running", "paused", "paused_at_chain"),
    *("completed", "failed", "cancelled"),
)


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Selection of jobs.

    Attributes:
        status: status of the jobs; "" for any.
        name: text in their ids; "" for any.
        limit: number of the newest jobs; None for all.
    """

    status: str = ""
    name: str = ""
    limit: int | None = None


async def print_jobs(client: ApiClient, output: Output, query: JobQuery, *, as_json: bool) -> int:
    """Print the matching jobs, newest first, and return the exit code.

    Raises:
        SettingsError: the status does not exist.
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    if as_json:
        job_count = 0
        async for page in fetch_pages(client, query):
            output.write_objects(page)
            job_count += len(page)
        require_known_status(query, job_count)
        return 0
    jobs = [
        msgspec.convert(job, JobBody) async for page in fetch_pages(client, query) for job in page
    ]
    require_known_status(query, len(jobs))
    if not jobs:
        client.reporter.report("no such job" if query.status or query.name else "no jobs yet")
        return 0
    now_s = await find_known_time(client, [job.status for job in jobs])
    output.console.print(make_table(jobs, output, now_s=now_s))
    return 0


def require_known_status(query: JobQuery, match_count: int) -> None:
    """Raise SettingsError if no job has the status, and no conductor is known to use it."""
    if query.status and not match_count and query.status not in KNOWN_STATUSES:
        raise SettingsError(
            f"--status must be one of {', '.join(KNOWN_STATUSES)}, got {query.status!r}"
        )


async def fetch_pages(client: ApiClient, query: JobQuery) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield the matching jobs page by page; raises as `print_jobs` does."""
    params = {"status": query.status, "name": query.name}
    params = {name: value for name, value in params.items() if value}
    left = query.limit
    while left is None or left > 0:
        size = JOBS_PER_PAGE if left is None else min(left, JOBS_PER_PAGE)
        page = await client.get_json_with_retry(
            "/api/jobs", {**params, "limit": str(size)}, JobPageBody
        )
        yield page.jobs
        if page.next is None:
            return
        params["after"] = page.next
        left = None if left is None else left - len(page.jobs)


class TableRow(NamedTuple):
    """A row of the table, with a text for each column."""

    name: str
    status: str
    sheets: str
    start: str
    duration: str

    @classmethod
    def from_job(cls, job: JobBody, *, now_s: float | None, today_s: float | None) -> "TableRow":
        """Return the row of a job; start times of the day of `today_s` have no date."""
        return cls(
            strip_to_one_line(job.job_id),
            strip_to_one_line(job.status),
            format_sheet_count(job.completed_sheets, job.total_sheets) or UNKNOWN_TEXT,
            format_near_time(parse_iso_time(job.started_at), today_s) or UNKNOWN_TEXT,
            format_run_duration(job, now_s) or UNKNOWN_TEXT,
        )


HEADINGS = TableRow("JOB", "STATUS", "SHEETS", "STARTED", "DURATION")


class ColumnLayout(NamedTuple):
    """Columns that fit into the terminal. Status, sheets and duration are always shown."""

    name_columns: int
    has_bars: bool
    has_start: bool

    @classmethod
    def from_rows(cls, rows: list[TableRow], *, width: int, animated: bool) -> "ColumnLayout":
        """Choose the columns: bars are left out first, then start times, then names are cut."""
        name, status, sheets, start, last = (
            max(map(cell_len, texts)) for texts in zip(HEADINGS, *rows, strict=True)
        )
        room = width - sum(size + GAP_COLUMNS for size in (status, sheets, start, last))
        bars = animated and room - BAR_COLUMNS - GAP_COLUMNS >= min(name, MIN_NAME_COLUMNS_WITH_BAR)
        if bars:
            room -= BAR_COLUMNS + GAP_COLUMNS
        has_start = room >= min(name, MIN_NAME_COLUMNS_WITH_START)
        if not has_start:
            room += start + GAP_COLUMNS
        return cls(max(1, min(name, room)), bars, has_start)


def make_table(jobs: list[JobBody], output: Output, *, now_s: float | None) -> Table:
    """Return the table of the jobs, with bars on a terminal."""
    today_s = now_s if output.can_redraw else None
    rows = [TableRow.from_job(job, now_s=now_s, today_s=today_s) for job in jobs]
    columns = ColumnLayout.from_rows(rows, width=output.console.width, animated=output.can_redraw)
    table = Table(box=None, pad_edge=False, padding=(0, GAP_COLUMNS, 0, 0), header_style="quiet")
    table.add_column(HEADINGS.name, no_wrap=True)
    table.add_column(HEADINGS.status, no_wrap=True)
    if columns.has_bars:
        table.add_column("", width=BAR_COLUMNS)
    table.add_column(HEADINGS.sheets, no_wrap=True, justify="right")
    if columns.has_start:
        table.add_column(HEADINGS.start, no_wrap=True)
    table.add_column(HEADINGS.duration, no_wrap=True, justify="right")
    for job, row in zip(jobs, rows, strict=True):
        style = status_style(job.status)
        table.add_row(
            Text(truncate_middle(row.name, columns.name_columns)),
            Text(row.status, style=style),
            *(
                [make_progress_bar(job.completed_sheets, job.total_sheets, style)]
                if columns.has_bars
                else []
            ),
            Text(row.sheets),
            *([Text(row.start)] if columns.has_start else []),
            Text(row.duration),
        )
    return table


async def fetch_job_ids(client: ApiClient, prefix: str) -> list[str]:
    """Return the ids of the newest jobs that begin with a prefix, without retries.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    params = {"limit": str(JOBS_PER_PAGE), **({"name": prefix} if prefix else {})}
    page = await client.get_json("/api/jobs", params, JobPageBody)
    ids = [msgspec.convert(job, JobBody).job_id for job in page.jobs]
    return [job_id for job_id in ids if job_id.startswith(prefix)]
