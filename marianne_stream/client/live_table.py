"""Live table of watched jobs on a terminal: one row and bar for each job."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from marianne_stream.client.live_display import LiveDisplay
from marianne_stream.client.messages import StderrReporter
from marianne_stream.client.output import Output, status_style, truncate_line, truncate_middle
from marianne_stream.client.progress_bar import (
    MIN_COLUMNS_FOR_BAR,
    format_sheet_count,
    make_progress_bar,
)
from marianne_stream.client.row_choice import choose_rows, count_statuses
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.server_clock import ServerClock
from marianne_stream.client.times import format_duration
from marianne_stream.client.watched_job import WatchedJob

GAP_COLUMNS = 2
# Longer bars are not more readable.
MAX_TABLE_COLUMNS = 100
MIN_BAR_COLUMNS = 6
# A column is left out if names would get less than the minimum.
MIN_NAME_COLUMNS = 12
MAX_NAME_COLUMNS = 32

# Part of the rows that errors get at most.
MAX_ERROR_SHARE = 3

# Order in which jobs are shown if not all have room; unknown statuses come after these.
JOB_RANKS = {"failed": 0, "running": 1, "paused": 2, "paused_at_chain": 2, "": 3}


class LiveTable(LiveDisplay):
    """Table of all watched jobs, redrawn as they change."""

    def __init__(
        self, output: Output, reporter: StderrReporter, clock: ServerClock, *, empty_text: str
    ) -> None:
        super().__init__(output, reporter)
        self._clock = clock
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

    def draw(self) -> RenderableType:
        """Return the table; after Ctrl-C a summary, if there is more than one job."""
        jobs = list(self._jobs.values())
        if not jobs:
            return Text(self._empty_text, style="quiet")
        room = max(1, self._console.height - 2)
        if self.is_closed and len(jobs) > 1 and (self.is_interrupted or len(jobs) > room):
            return self._draw_summary(jobs, room)
        errors = [format_job_error(job, self.columns) for job in jobs if job.error]
        if len(jobs) + len(errors) > room:
            errors = errors[: room // MAX_ERROR_SHARE]
        shown = choose_rows(jobs, max(1, room - len(errors)), rank_job)
        parts: list[RenderableType] = [self._make_table(shown), *errors]
        shown_ids = {job.job_id for job in shown}
        if hidden := [job for job in jobs if job.job_id not in shown_ids]:
            text = f"and {len(hidden)} more: {count_statuses(map(status_word, hidden))}"
            parts.append(truncate_line(Text(text, style="quiet"), self.columns))
        return Group(*parts)

    def _draw_summary(self, jobs: Sequence[WatchedJob], room: int) -> RenderableType:
        """Return the number of jobs by status, and the failures."""
        summary = Text(f"{len(jobs)} jobs: {count_statuses(map(status_word, jobs))}")
        failed = [job for job in jobs if rank_job(job) == 0]
        shown = failed[: max(1, room // 2)]
        parts: list[RenderableType] = [self._make_table(shown)] if shown else []
        parts += [format_job_error(job, self.columns) for job in shown if job.error]
        if len(failed) > len(shown):
            parts.append(Text(f"and {len(failed) - len(shown)} more failures", style="quiet"))
        return Group(*parts, summary)

    def _make_table(self, jobs: Sequence[WatchedJob]) -> Table:
        return make_job_table(jobs, self._clock.now_s(), width=self.columns)


def rank_job(job: WatchedJob) -> int:
    """Return the rank of a job: failures first, then what runs."""
    return 0 if job.problem else JOB_RANKS.get(job.status, len(JOB_RANKS))


def status_word(job: WatchedJob) -> str:
    """Return the status of a job, or why it is not watched any more."""
    return strip_to_one_line(job.problem or job.status or "...")


def make_job_table(jobs: Iterable[WatchedJob], now_s: float, *, width: int) -> Table:
    """Return the rows of jobs: name, status, bar, sheets, current sheet, duration.

    Bars are left out first, then current sheets, then durations; then names are cut.
    """
    rows = [(job, format_job_cells(job, now_s)) for job in jobs]
    longest, status, sheets, sheet, duration = (
        max(map(cell_len, texts)) + GAP_COLUMNS
        for texts in zip(*(cells for _, cells in rows), strict=True)
    )
    # The columns stay where they are when a job ends.
    status = max(status, len("completed") + GAP_COLUMNS)
    room = min(width, MAX_TABLE_COLUMNS) - status - sheets
    needed = min(longest, MIN_NAME_COLUMNS + GAP_COLUMNS)
    has_duration = room - duration >= needed
    room -= duration if has_duration else 0
    has_sheet = room - sheet >= needed
    room -= sheet if has_sheet else 0
    name = max(1, min(longest, MAX_NAME_COLUMNS + GAP_COLUMNS, room) - GAP_COLUMNS)
    bar = room - name - 2 * GAP_COLUMNS
    has_bar = width >= MIN_COLUMNS_FOR_BAR and bar >= MIN_BAR_COLUMNS
    table = Table.grid(padding=(0, GAP_COLUMNS, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=status - GAP_COLUMNS)
    if has_bar:
        table.add_column(width=bar)
    table.add_column(no_wrap=True, justify="right")
    if has_sheet:
        table.add_column(no_wrap=True)
    if has_duration:
        table.add_column(no_wrap=True, justify="right")
    for job, texts in rows:
        style = "fault" if job.problem else status_style(job.status)
        table.add_row(
            Text(truncate_middle(texts[0], name)),
            Text(texts[1], style=style),
            *(
                [make_progress_bar(job.completed_sheets, job.total_sheets, style)]
                if has_bar
                else []
            ),
            Text(texts[2]),
            *([Text(texts[3], "quiet")] if has_sheet else []),
            *([Text(texts[4])] if has_duration else []),
        )
    return table


def format_job_cells(job: WatchedJob, now_s: float) -> tuple[str, str, str, str, str]:
    """Format name, status, sheet count, current sheet and duration of a job."""
    duration_s = job.duration_s(now_s)
    return (
        strip_to_one_line(job.job_id),
        status_word(job),
        format_sheet_count(job.completed_sheets, job.total_sheets),
        "" if job.current_sheet is None else f"sheet {job.current_sheet}",
        "" if duration_s is None else format_duration(duration_s),
    )


def format_job_error(job: WatchedJob, columns: int) -> Text:
    """Format the error of a job as one line of a width."""
    text = f"{strip_to_one_line(job.job_id)}: {strip_to_one_line(job.error)}"
    return truncate_line(Text(text, style="fault"), columns)
