"""`jobs`: the roster as a table."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from marianne_stream.client.answers import Job, Page
from marianne_stream.client.bars import bar, count
from marianne_stream.client.cleaning import clean_word
from marianne_stream.client.output import Output, shortened, status_style
from marianne_stream.client.server import Server
from marianne_stream.client.times import clock, date_and_time, duration, epoch_of
from marianne_stream.client.watched import EXIT_CODES
from marianne_stream.errors import SettingsError

PAGE_JOBS = 1000

UNKNOWN = "-"
BAR_COLUMNS = 12
GAP_COLUMNS = 2
# Bars leave so much room for names, if names need it, and so does the start of jobs.
BAR_LEAVES_COLUMNS = 24
LEAST_NAME_COLUMNS = 16

# The statuses that a conductor is known to give. A newer one may give more.
STATUSES = (
    *("queued", "pending", "running", "paused", "paused_at_chain"),
    *("completed", "failed", "cancelled"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs are wanted.

    Attributes:
        status: only those with this status; "" for all.
        name: only those whose id holds this; "" for all.
        limit: at most so many; None for all.
    """

    status: str = ""
    name: str = ""
    limit: int | None = None


async def show_jobs(server: Server, output: Output, wanted: Wanted, *, as_json: bool) -> int:
    """Prints the jobs that are wanted, the newest first, and returns the exit code.

    Raises:
        SettingsError: there is no such status.
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
    """
    if as_json:
        found = 0
        async for page in pages(server, wanted):
            output.write_objects(page)
            found += len(page)
        check_status(wanted, found)
        return 0
    jobs = [msgspec.convert(job, Job) async for page in pages(server, wanted) for job in page]
    check_status(wanted, len(jobs))
    if not jobs:
        server.notes.say("no such job" if wanted.status or wanted.name else "no jobs yet")
        return 0
    output.console.print(table_of(jobs, output, now_s=server.clock.now_s()))
    return 0


def check_status(wanted: Wanted, found: int) -> None:
    """Raise SettingsError if no job has the wanted status, and no conductor is known to give it."""
    if wanted.status and not found and wanted.status not in STATUSES:
        raise SettingsError(f"--status must be one of {', '.join(STATUSES)}, got {wanted.status!r}")


async def pages(server: Server, wanted: Wanted) -> AsyncIterator[list[dict[str, Any]]]:
    """Yields the roster, page for page, until there is no more or enough; raises as `show_jobs`."""
    params = {"status": wanted.status, "name": wanted.name}
    params = {name: value for name, value in params.items() if value}
    left = wanted.limit
    while left is None or left > 0:
        size = PAGE_JOBS if left is None else min(left, PAGE_JOBS)
        page = await server.ask_patiently("/api/jobs", {**params, "limit": str(size)}, Page)
        yield page.jobs
        if page.next is None:
            return
        params["after"] = page.next
        left = None if left is None else left - len(page.jobs)


@dataclass(frozen=True, slots=True)
class Row:
    """A job as the table shows it, one text a column."""

    name: str
    status: str
    sheets: str
    started: str
    lasted: str

    @classmethod
    def of(cls, job: Job, *, now_s: float, today: str) -> "Row":
        """Return the row of a job; times of the day that is given are shown without the date."""
        started_s = epoch_of(job.started_at)
        return cls(
            clean_word(job.job_id),
            clean_word(job.status),
            count(job.completed_sheets, job.total_sheets) or UNKNOWN,
            started(started_s, today) or UNKNOWN,
            lasted(job, started_s, now_s) or UNKNOWN,
        )


HEADS = Row("JOB", "STATUS", "SHEETS", "STARTED", "DURATION")


@dataclass(frozen=True, slots=True)
class Columns:
    """What fits into the width of a terminal: status, sheets and duration always do.

    Attributes:
        name: how wide a job's name may be.
        bars: whether there are bars.
        started: whether it is shown when a job started.
    """

    name: int
    bars: bool
    started: bool

    @classmethod
    def fitting(cls, rows: list[Row], *, width: int, animated: bool) -> "Columns":
        """Return the columns for these rows: bars go first, then the start, then names are cut."""
        name, status, sheets, start, last = (
            max(cell_len(getattr(row, field.name)) for row in (HEADS, *rows))
            for field in fields(Row)
        )
        room = width - sum(size + GAP_COLUMNS for size in (status, sheets, start, last))
        bars = animated and room - BAR_COLUMNS - GAP_COLUMNS >= min(name, BAR_LEAVES_COLUMNS)
        if bars:
            room -= BAR_COLUMNS + GAP_COLUMNS
        has_start = room >= min(name, LEAST_NAME_COLUMNS)
        if not has_start:
            room += start + GAP_COLUMNS
        return cls(max(1, min(name, room)), bars, has_start)


def table_of(jobs: list[Job], output: Output, *, now_s: float) -> Table:
    """The jobs as a table: with bars where it is drawn on a terminal."""
    today = date_and_time(now_s)[:10] if output.animated else ""
    rows = [Row.of(job, now_s=now_s, today=today) for job in jobs]
    columns = Columns.fitting(rows, width=output.console.width, animated=output.animated)
    table = Table(box=None, pad_edge=False, padding=(0, GAP_COLUMNS, 0, 0), header_style="quiet")
    table.add_column(HEADS.name, no_wrap=True)
    table.add_column(HEADS.status, no_wrap=True)
    if columns.bars:
        table.add_column("", width=BAR_COLUMNS)
    table.add_column(HEADS.sheets, no_wrap=True, justify="right")
    if columns.started:
        table.add_column(HEADS.started, no_wrap=True)
    table.add_column(HEADS.lasted, no_wrap=True, justify="right")
    for job, row in zip(jobs, rows, strict=True):
        style = status_style(job.status)
        table.add_row(
            Text(shortened(row.name, columns.name)),
            Text(row.status, style=style),
            *([bar(job.completed_sheets, job.total_sheets, style)] if columns.bars else []),
            Text(row.sheets),
            *([Text(row.started)] if columns.started else []),
            Text(row.lasted),
        )
    return table


def started(started_s: float | None, today: str) -> str:
    """When a job has started: the time alone where it was today."""
    if started_s is None:
        return ""
    text = date_and_time(started_s)
    return clock(started_s) if today and text.startswith(today) else text


def lasted(job: Job, started_s: float | None, now_s: float) -> str:
    """How long a job has run, or ran; empty where that is not known."""
    ended_s = epoch_of(job.completed_at)
    if started_s is None or (job.status in EXIT_CODES and ended_s is None):
        return ""
    return duration((now_s if ended_s is None else ended_s) - started_s)


async def job_ids(server: Server, prefix: str) -> list[str]:
    """The ids of the newest jobs that begin with a text; asked for once.

    Raises:
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
    """
    params = {"limit": str(PAGE_JOBS), **({"name": prefix} if prefix else {})}
    page = await server.ask("/api/jobs", params, Page)
    ids = [msgspec.convert(job, Job).job_id for job in page.jobs]
    return [job_id for job_id in ids if job_id.startswith(prefix)]
