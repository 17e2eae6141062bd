"""Watched jobs on a terminal: a row each, with a bar, drawn over as they change.

It must not know where the jobs' states come from.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from marianne_stream.client.bars import BAR_NEEDS_COLUMNS, bar, count
from marianne_stream.client.cleaning import clean_word
from marianne_stream.client.notes import Notes, write_line
from marianne_stream.client.output import Output, shortened, status_style
from marianne_stream.client.server_clock import ServerClock
from marianne_stream.client.stream import Event
from marianne_stream.client.times import duration
from marianne_stream.client.watched import WatchedJob

# Durations count seconds; what changes is shown sooner, but no eye needs it more often than this.
TICK_S = 1.0
REST_S = 0.1

# A longer bar tells no more.
WIDEST_COLUMNS = 100
NAME_COLUMNS = 32


class Board:
    """All watched jobs, drawn over as they change.

    Args:
        output: the terminal.
        notes: what is said meanwhile, which is then written above the board.
        clock: the server's time, by which durations are counted.
        empty: what stands there while there is no job.
    """

    shows_times = True

    def __init__(self, output: Output, notes: Notes, clock: ServerClock, *, empty: str) -> None:
        self._console = output.console
        self._notes = notes
        self._clock = clock
        self._empty = empty
        self._jobs: dict[str, WatchedJob] = {}
        self._changed = asyncio.Event()
        self._ended = False
        self._live = self._new_live()

    def hear(self, event: Event) -> None:
        """Nothing: the job is shown instead."""

    def show(self, job: WatchedJob) -> None:
        """Takes a job; the next drawing shows it."""
        self._jobs[job.job_id] = job
        self._changed.set()

    def forget(self, job_id: str) -> None:
        """Takes a job away."""
        self._jobs.pop(job_id, None)
        self._changed.set()

    @asynccontextmanager
    async def drawn(self) -> AsyncIterator[None]:
        """Draws while the context lasts; what was drawn last stays, and the cursor comes back."""
        if sys.stderr.isatty():
            # The same terminal: what is written beside the board would tear it.
            self._notes.say_line = self._write_above
        loop = asyncio.get_running_loop()
        self._live.start()
        loop.add_signal_handler(signal.SIGTSTP, self._step_aside)
        drawing = asyncio.create_task(self._draw())
        try:
            yield
        finally:
            drawing.cancel()
            await asyncio.wait([drawing])
            loop.remove_signal_handler(signal.SIGTSTP)
            self._ended = True
            self._notes.say_line = write_line
            self._live.stop()
            if not drawing.cancelled():
                # It never ends by itself.
                drawing.result()

    def _step_aside(self) -> None:
        """Stops at Ctrl-Z as any program does, with the cursor given back; then draws anew."""
        loop = asyncio.get_running_loop()
        self._live.stop()
        loop.remove_signal_handler(signal.SIGTSTP)
        # It stands still here until SIGCONT comes.
        signal.raise_signal(signal.SIGTSTP)
        loop.add_signal_handler(signal.SIGTSTP, self._step_aside)
        # Not over what was drawn before: the shell has written below it.
        self._live = self._new_live()
        self._live.start(refresh=True)

    def _new_live(self) -> Live:
        return Live(
            get_renderable=self._render,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    async def _draw(self) -> None:
        """Draws what has changed, and the durations every second."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._changed.wait()
            self._changed.clear()
            self._live.refresh()
            await asyncio.sleep(REST_S)

    def _write_above(self, line: str) -> None:
        self._console.print(Text(line, style="quiet"), soft_wrap=True)

    def _render(self) -> RenderableType:
        """The board as it is now; no higher than the terminal, until it ends."""
        jobs = list(self._jobs.values())
        if not jobs:
            return Text(self._empty, style="quiet")
        faults = [fault_of(job) for job in jobs if job.error]
        room = len(jobs) + len(faults)
        if not self._ended:
            room = max(1, self._console.height - 2)
        shown = jobs[:room]
        faults = faults[: max(0, room - len(shown))]
        parts: list[RenderableType] = [self._table(shown), *faults]
        if len(jobs) > len(shown):
            parts.append(Text(f"and {len(jobs) - len(shown)} more", style="quiet"))
        return Group(*parts)

    def _table(self, jobs: list[WatchedJob]) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.width = min(self._console.width, WIDEST_COLUMNS)
        name_columns = max(8, min(NAME_COLUMNS, table.width // 3))
        table.add_column(no_wrap=True, overflow="ellipsis", min_width=8)
        table.add_column(no_wrap=True, min_width=len("completed"))
        bars = self._console.width >= BAR_NEEDS_COLUMNS
        if bars:
            table.add_column(ratio=1, min_width=6)
        table.add_column(no_wrap=True, justify="right", min_width=len("12/12"))
        table.add_column(no_wrap=True, min_width=len("sheet 12"))
        table.add_column(no_wrap=True, justify="right", min_width=len("12m 34s"))
        now_s = self._clock.now_s()
        for job in jobs:
            table.add_row(*cells(job, now_s, name_columns=name_columns, bars=bars))
        return table


def cells(job: WatchedJob, now_s: float, *, name_columns: int, bars: bool) -> list[RenderableType]:
    """One row: name, status, bar, how many sheets, the sheet at work, how long."""
    style = "fault" if job.trouble else status_style(job.status)
    lasted_s = job.lasted_s(now_s)
    return [
        Text(shortened(clean_word(job.job_id), name_columns)),
        Text(clean_word(job.trouble or job.status or "..."), style=style),
        *([bar(job.completed, job.total, style)] if bars else []),
        Text(count(job.completed, job.total)),
        Text("" if job.current is None else f"sheet {job.current}", "quiet"),
        Text("" if lasted_s is None else duration(lasted_s)),
    ]


def fault_of(job: WatchedJob) -> Text:
    """What has gone wrong with a job, on one line."""
    text = Text(f"{clean_word(job.job_id)}: {clean_word(job.error)}", style="fault")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
