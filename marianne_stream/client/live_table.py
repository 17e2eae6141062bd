"""Live table of watched jobs on a terminal: one row and bar for each job."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from marianne_stream.client.messages import StderrReporter, write_stderr
from marianne_stream.client.output import Output, status_style, truncate_middle
from marianne_stream.client.progress_bar import (
    MIN_COLUMNS_FOR_BAR,
    format_sheet_count,
    make_progress_bar,
)
from marianne_stream.client.renderers import JobRenderer
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.server_clock import ServerClock
from marianne_stream.client.times import format_duration
from marianne_stream.client.watched_job import WatchedJob

# Durations are redrawn every second, and changes at most ten times a second.
REFRESH_INTERVAL_S = 1.0
MIN_REDRAW_INTERVAL_S = 0.1

# Longer bars are not more readable.
MAX_TABLE_COLUMNS = 100
MAX_NAME_COLUMNS = 32


class LiveTable(JobRenderer):
    """Table of all watched jobs, redrawn as they change.

    Messages of the reporter are printed above the table meanwhile.
    """

    needs_times = True

    def __init__(
        self, output: Output, reporter: StderrReporter, clock: ServerClock, *, empty_text: str
    ) -> None:
        self._console = output.console
        self._reporter = reporter
        self._clock = clock
        self._empty_text = empty_text
        self._jobs: dict[str, WatchedJob] = {}
        self._changed = asyncio.Event()
        self._is_closed = False
        self._live = self._make_live()

    def update(self, job: WatchedJob) -> None:
        """Show a job at the next redraw."""
        self._jobs[job.job_id] = job
        self._changed.set()

    def remove(self, job_id: str) -> None:
        """Remove a job."""
        self._jobs.pop(job_id, None)
        self._changed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Draw inside the context; the last table stays on the screen."""
        if sys.stderr.isatty():
            # On the same terminal, other output would break the table.
            self._reporter.write = self._print_above
        loop = asyncio.get_running_loop()
        self._live.start()
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        redraw_task = asyncio.create_task(self._redraw_loop())
        try:
            yield
        finally:
            redraw_task.cancel()
            await asyncio.wait([redraw_task])
            loop.remove_signal_handler(signal.SIGTSTP)
            self._is_closed = True
            self._reporter.write = write_stderr
            self._live.stop()
            if not redraw_task.cancelled():
                # The loop never ends by itself: raise its error.
                redraw_task.result()

    def _suspend(self) -> None:
        """Restore the cursor and stop the process at Ctrl-Z; draw again after SIGCONT."""
        loop = asyncio.get_running_loop()
        self._live.stop()
        loop.remove_signal_handler(signal.SIGTSTP)
        # The process stops here until SIGCONT.
        signal.raise_signal(signal.SIGTSTP)
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        # A new display: the shell has written below the old one.
        self._live = self._make_live()
        self._live.start(refresh=True)

    def _make_live(self) -> Live:
        return Live(
            get_renderable=self._render,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    async def _redraw_loop(self) -> None:
        """Redraw after changes, and every second for the durations."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_INTERVAL_S):
                    await self._changed.wait()
            self._changed.clear()
            self._live.refresh()
            await asyncio.sleep(MIN_REDRAW_INTERVAL_S)

    def _print_above(self, line: str) -> None:
        self._console.print(Text(line, style="quiet"), soft_wrap=True)

    def _render(self) -> RenderableType:
        """Return the table, not higher than the terminal until the end."""
        jobs = list(self._jobs.values())
        if not jobs:
            return Text(self._empty_text, style="quiet")
        errors = [format_job_error(job) for job in jobs if job.error]
        room = len(jobs) + len(errors)
        if not self._is_closed:
            room = max(1, self._console.height - 2)
        shown = jobs[:room]
        errors = errors[: max(0, room - len(shown))]
        parts: list[RenderableType] = [self._make_table(shown), *errors]
        if len(jobs) > len(shown):
            parts.append(Text(f"and {len(jobs) - len(shown)} more", style="quiet"))
        return Group(*parts)

    def _make_table(self, jobs: list[WatchedJob]) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.width = min(self._console.width, MAX_TABLE_COLUMNS)
        name_columns = max(8, min(MAX_NAME_COLUMNS, table.width // 3))
        table.add_column(no_wrap=True, overflow="ellipsis", min_width=8)
        table.add_column(no_wrap=True, min_width=len("completed"))
        bars = self._console.width >= MIN_COLUMNS_FOR_BAR
        if bars:
            table.add_column(ratio=1, min_width=6)
        table.add_column(no_wrap=True, justify="right", min_width=len("12/12"))
        table.add_column(no_wrap=True, min_width=len("sheet 12"))
        table.add_column(no_wrap=True, justify="right", min_width=len("12m 34s"))
        now_s = self._clock.now_s()
        for job in jobs:
            table.add_row(*make_cells(job, now_s, name_columns=name_columns, has_bars=bars))
        return table


def make_cells(
    job: WatchedJob, now_s: float, *, name_columns: int, has_bars: bool
) -> list[RenderableType]:
    """Return the cells of a row: name, status, bar, sheets, current sheet, duration."""
    style = "fault" if job.problem else status_style(job.status)
    duration_s = job.duration_s(now_s)
    return [
        Text(truncate_middle(strip_to_one_line(job.job_id), name_columns)),
        Text(strip_to_one_line(job.problem or job.status or "..."), style=style),
        *([make_progress_bar(job.completed_sheets, job.total_sheets, style)] if has_bars else []),
        Text(format_sheet_count(job.completed_sheets, job.total_sheets)),
        Text("" if job.current_sheet is None else f"sheet {job.current_sheet}", "quiet"),
        Text("" if duration_s is None else format_duration(duration_s)),
    ]


def format_job_error(job: WatchedJob) -> Text:
    """Format the error of a job as one line."""
    text = Text(f"{strip_to_one_line(job.job_id)}: {strip_to_one_line(job.error)}", style="fault")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
