"""`jobs`: the roster as a table."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from marianne_stream.client.answers import Job, Page
from marianne_stream.client.bars import BAR_NEEDS_COLUMNS, bar, count
from marianne_stream.client.cleaning import clean_word
from marianne_stream.client.output import Output, status_style
from marianne_stream.client.server import Server
from marianne_stream.client.times import clock, date_and_time, duration, epoch_of
from marianne_stream.client.watched import EXIT_CODES

PAGE_JOBS = 1000

UNKNOWN = "-"
BAR_COLUMNS = 12


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
        MarianneStreamError: the server cannot be reached, or does not answer as it should.
    """
    if as_json:
        async for page in pages(server, wanted):
            output.write_objects(page)
        return 0
    jobs = [msgspec.convert(job, Job) async for page in pages(server, wanted) for job in page]
    if not jobs:
        server.notes.say("no such job" if wanted.status or wanted.name else "no jobs yet")
        return 0
    output.console.print(table_of(jobs, output, now_s=time.time()))
    return 0


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


def table_of(jobs: list[Job], output: Output, *, now_s: float) -> Table:
    """The jobs as a table: with bars where it is drawn on a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="quiet")
    table.add_column("JOB", no_wrap=True, overflow="ellipsis", min_width=8)
    table.add_column("STATUS", no_wrap=True, min_width=len("STATUS"))
    bars = output.animated and output.console.width >= BAR_NEEDS_COLUMNS
    if bars:
        table.add_column("", width=BAR_COLUMNS)
    table.add_column("SHEETS", no_wrap=True, justify="right", min_width=len("SHEETS"))
    table.add_column("STARTED", no_wrap=True)
    table.add_column("DURATION", no_wrap=True, justify="right", min_width=len("DURATION"))
    today = date_and_time(now_s)[:10]
    for job in jobs:
        started_s = epoch_of(job.started_at)
        style = status_style(job.status)
        table.add_row(
            Text(clean_word(job.job_id)),
            Text(clean_word(job.status), style=style),
            *([bar(job.completed_sheets, job.total_sheets, style)] if bars else []),
            Text(count(job.completed_sheets, job.total_sheets) or UNKNOWN),
            Text(started(started_s, today if output.animated else "") or UNKNOWN),
            Text(lasted(job, started_s, now_s) or UNKNOWN),
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
