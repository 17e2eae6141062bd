"""Live table of watched jobs on a terminal: one row and bar for each job."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.facts import format_stalled, format_wait
from marianne_stream.client.fitted_table import wrap_lines
from marianne_stream.client.live_display import LiveDisplay
from marianne_stream.client.output import Output, status_style, truncate_line, truncate_middle
from marianne_stream.client.progress_bar import (
    MIN_COLUMNS_FOR_BAR,
    format_sheet_count,
    make_progress_bar,
)
from marianne_stream.client.row_choice import choose_rows, count_statuses
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.watched_job import WatchedJob
from marianne_stream.common.durations import format_duration

GAP_COLUMNS = 2
# Longer bars are not more readable.
MAX_TABLE_COLUMNS = 100
MIN_BAR_COLUMNS = 6
# A column is left out if names would get less than the minimum.
MIN_NAME_COLUMNS = 12
MAX_NAME_COLUMNS = 32

# Part of the rows that notes get at most, and of a note that the name of its job gets.
MAX_NOTE_SHARE = 3
# Rows of a note in the last display.
MAX_NOTE_ROWS = 8
# Failures that a summary lists.
MAX_FAILURES = 100

# Waits of which the status of the job says as much.
PLAIN_WAITS = frozenset({"queued", "paused"})

# Order in which jobs are shown if not all have room; unknown statuses come after these.
JOB_RANKS = {"failed": 0, "running": 1, "paused": 2, "paused_at_chain": 2, "": 3}


class LiveTable(LiveDisplay):
    """Table of all watched jobs, redrawn as they change."""

    def __init__(self, output: Output, client: ApiClient, *, empty_text: str) -> None:
        super().__init__(output, client)
        self._empty_text = empty_text
        self._jobs: dict[str, WatchedJob] = {}

    def update(self, job: WatchedJob) -> None:
        """Show a job at the next redraw."""
        self._jobs[job.job_id] = job
        self.redraw_soon()

    def remove(self, job_id: str) -> None:
        """Remove a job."""
        self._jobs.pop(job_id, None)
        self.redraw_soon()

    def draw_state(self, room: int) -> Sequence[RenderableType]:
        """Return the table; after Ctrl-C a summary, if there is more than one job."""
        jobs = list(self._jobs.values())
        if not jobs:
            return [Text(self._empty_text, style="quiet")]
        if not self.is_closed:
            return self._draw_live(jobs, room)
        if len(jobs) > 1 and (self.is_interrupted or len(jobs) > room):
            return self._draw_summary(jobs)
        return [self._make_table(jobs), *self._wrap_notes(jobs)]

    def _draw_live(self, jobs: Sequence[WatchedJob], room: int) -> list[RenderableType]:
        """Return the jobs and notes that have room, and the number of the others."""
        notes, limit = self._make_notes(jobs), room // MAX_NOTE_SHARE
        if len(jobs) + len(notes) > room and len(notes) > limit:
            shown_count = max(0, limit - 1)
            text = f"and {len(notes) - shown_count} more errors or waits"
            notes = [*notes[:shown_count], Text(text, style="quiet")][:limit]
        rows = room - len(notes)
        shown = choose_rows(jobs, max(1, rows if len(jobs) <= rows else rows - 1), rank_job)
        shown_ids = {job.job_id for job in shown}
        if hidden := [job for job in jobs if job.job_id not in shown_ids]:
            text = f"and {len(hidden)} more: {count_statuses(map(status_word, hidden))}"
            notes.append(Text(text, style="quiet"))
        lines = [truncate_line(line, self.columns) for line in notes]
        return [self._make_table(shown), *lines]

    def _draw_summary(self, jobs: Sequence[WatchedJob]) -> list[RenderableType]:
        """Return the failures, and the number of jobs by status."""
        failed = [job for job in jobs if rank_job(job) == 0]
        shown = failed[:MAX_FAILURES]
        lines = self._wrap_notes(shown)
        if len(failed) > len(shown):
            lines.append(Text(f"and {len(failed) - len(shown)} more failures", style="quiet"))
        lines.append(Text(f"{len(jobs)} jobs: {count_statuses(map(status_word, jobs))}"))
        return [*([self._make_table(shown)] if shown else []), *lines]

    def _make_table(self, jobs: Sequence[WatchedJob]) -> Table:
        return make_job_table(jobs, self.now_s, width=self.columns)

    def _wrap_notes(self, jobs: Sequence[WatchedJob]) -> list[Text]:
        """Return the notes of jobs in as many rows as they need, but for very long ones."""
        return [
            row
            for note in self._make_notes(jobs)
            for row in wrap_lines(
                note.plain, str(note.style), self._console, self.columns, max_rows=MAX_NOTE_ROWS
            )
        ]

    def _make_notes(self, jobs: Sequence[WatchedJob]) -> list[Text]:
        """Return why jobs have failed or do not go on, a line each, those of failures first."""
        columns = max(MIN_NAME_COLUMNS, self.columns // MAX_NOTE_SHARE)
        notes = []
        for job in sorted(jobs, key=rank_job):
            name = truncate_middle(strip_to_one_line(job.job_id), columns)
            for text, style in describe_job(job, self.now_s):
                notes.append(Text(f"{name}: {text}", style=style))
        return notes


def describe_job(job: WatchedJob, now_s: float | None) -> Iterator[tuple[str, str]]:
    """Yield the error of a job, and the reasons why it does not go on, with their styles."""
    if job.error:
        yield strip_to_one_line(job.error), "fault"
    if job.stalled:
        yield format_stalled(job.stalled), "fault"
    if job.waiting is not None and job.waiting.code not in PLAIN_WAITS:
        yield format_wait(job.waiting, now_s), ""


def rank_job(job: WatchedJob) -> int:
    """Return the rank of a job: failures first, then what runs."""
    return 0 if job.problem else JOB_RANKS.get(job.status, len(JOB_RANKS))


def status_word(job: WatchedJob) -> str:
    """Return the status of a job, or why it is not watched any more."""
    return strip_to_one_line(job.problem or job.status or "...")


class JobCells(NamedTuple):
    """Texts of a job's row."""

    name: str
    status: str
    sheets: str
    sheet: str
    duration: str


class JobColumns(NamedTuple):
    """Widths of the columns that fit; 0 for a column that is left out."""

    name: int
    status: int
    bar: int
    sheet: int
    duration: int

    @classmethod
    def from_cells(cls, rows: Sequence[JobCells], width: int) -> "JobColumns":
        """Choose the columns: bars are left out first, then sheets, durations, parts of names."""
        longest, status, sheets, sheet, duration = (
            max(map(cell_len, texts)) for texts in zip(*rows, strict=True)
        )
        # The columns stay where they are when a job ends.
        status = max(status, len("completed"))
        room = min(width, MAX_TABLE_COLUMNS) - status - sheets - 2 * GAP_COLUMNS
        needed = min(longest, MIN_NAME_COLUMNS) + GAP_COLUMNS
        duration = duration if room - duration - GAP_COLUMNS >= needed else 0
        room -= duration + GAP_COLUMNS if duration else 0
        sheet = sheet if room - sheet - GAP_COLUMNS >= needed else 0
        room -= sheet + GAP_COLUMNS if sheet else 0
        name = max(1, min(longest, MAX_NAME_COLUMNS, room - GAP_COLUMNS))
        bar = room - name - 2 * GAP_COLUMNS
        has_bar = width >= MIN_COLUMNS_FOR_BAR and bar >= MIN_BAR_COLUMNS
        return cls(name, status, bar if has_bar else 0, sheet, duration)


def make_job_table(jobs: Sequence[WatchedJob], now_s: float | None, *, width: int) -> Table:
    """Return the rows of jobs: name, status, bar, sheets, current sheet, duration."""
    rows = [format_job_cells(job, now_s) for job in jobs]
    columns = JobColumns.from_cells(rows, width)
    table = Table.grid(padding=(0, GAP_COLUMNS, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=columns.status)
    if columns.bar:
        table.add_column(width=columns.bar)
    table.add_column(no_wrap=True, justify="right")
    if columns.sheet:
        table.add_column(no_wrap=True)
    if columns.duration:
        table.add_column(no_wrap=True, justify="right")
    for job, row in zip(jobs, rows, strict=True):
        style = "fault" if job.problem else status_style(job.status)
        bar = make_progress_bar(job.completed_sheets, job.total_sheets, style)
        table.add_row(
            Text(truncate_middle(row.name, columns.name)),
            Text(row.status, style=style),
            *([bar] if columns.bar else []),
            Text(row.sheets),
            *([Text(row.sheet, "quiet")] if columns.sheet else []),
            *([Text(row.duration)] if columns.duration else []),
        )
    return table


def format_job_cells(job: WatchedJob, now_s: float | None) -> JobCells:
    """Format name, status, sheet count, current sheet and duration of a job."""
    duration_s = job.duration_s(now_s)
    return JobCells(
        strip_to_one_line(job.job_id),
        status_word(job),
        format_sheet_count(job.completed_sheets, job.total_sheets),
        "" if job.current_sheet is None else f"sheet {job.current_sheet}",
        "" if duration_s is None else format_duration(duration_s),
    )
