"""Live display of one watched job: its status, its sheets, and the newest lines of its log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain

from rich.console import RenderableType
from rich.text import Text

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import SheetBody
from marianne_stream.client.facts import format_amounts, format_stalled, format_wait, show_command
from marianne_stream.client.fitted_table import FittedTable, wrap_lines
from marianne_stream.client.live_display import LiveDisplay
from marianne_stream.client.live_table import make_job_table
from marianne_stream.client.log_layout import lay_out_row
from marianne_stream.client.newest_lines import NewestLines
from marianne_stream.client.output import Output, truncate_line
from marianne_stream.client.row_choice import choose_rows, count_statuses
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.sheet_table import has_own_error, make_sheet_table
from marianne_stream.client.times import format_near_time, parse_iso_time
from marianne_stream.client.watched_job import WatchedJob

# Rows of the log at least, if a third of the terminal has room for them, and at most.
MIN_LOG_ROWS = 5
MAX_LOG_ROWS = 12

# Rows of the error of a job, and failed sheets, that stay on the screen at the end.
MAX_ERROR_ROWS = 20
MAX_FAILED_SHEETS = 100

# Order in which sheets are shown if not all have room; other statuses come after these.
SHEET_RANKS = {
    "failed": 0,
    **dict.fromkeys(("in_progress", "dispatched"), 1),
    **dict.fromkeys(("waiting", "retry_scheduled", "fermata", "stopped"), 2),
    **dict.fromkeys(("ready", "pending"), 3),
}


class LiveJob(LiveDisplay):
    """Display of one job, redrawn as it changes."""

    def __init__(self, output: Output, client: ApiClient, job_id: str) -> None:
        super().__init__(output, client)
        self._job = WatchedJob(job_id)
        self._log = NewestLines(client, job_id, self.redraw_soon)
        self._has_state = asyncio.Event()

    def update(self, job: WatchedJob) -> None:
        """Show the job at the next redraw."""
        self._job = job
        if job.status:
            self._has_state.set()
        self.redraw_soon()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Draw inside the context, and follow the log."""
        async with super().running():
            log_task = asyncio.create_task(self._follow_log())
            try:
                yield
            finally:
                log_task.cancel()
                await asyncio.wait([log_task])
                if not log_task.cancelled():
                    log_task.result()

    async def _follow_log(self) -> None:
        """Follow the log once the stream of the job is open.

        If a client may open one stream only, that one decides the exit code.
        """
        await self._has_state.wait()
        await self._log.run()

    def draw_state(self, room: int) -> Sequence[RenderableType]:
        """Return head, sheets and log; at the end the head and all that has failed."""
        head = make_job_table([self._job], self.now_s, width=self.columns)
        if self.is_closed:
            return [head, *self._notes(), *self._draw_end()]
        notes = [truncate_line(note, self.columns) for note in self._notes()]
        room -= 1 + len(notes)
        sheets = self._draw_sheets(room - min(MIN_LOG_ROWS, room // 3) - 1)
        log = self._draw_log(min(MAX_LOG_ROWS, room - len(sheets) - 1))
        return [head, *notes, *sheets, *log]

    def _notes(self) -> list[Text]:
        """Return lines about the job; at the end, its error and its command are further below."""
        job, notes = self._job, []
        if job.waiting is not None:
            notes.append(Text(f"waits: {format_wait(job.waiting, self.now_s)}"))
        if job.stalled:
            notes.append(Text(format_stalled(job.stalled), style="fault"))
        if self._has_own_error() and not self.is_closed:
            notes.append(Text(f"error: {strip_to_one_line(job.error)}", style="fault"))
        eta_s = parse_iso_time(job.eta_at)
        is_ahead = not job.is_over and self.now_s is not None and (eta_s or 0.0) > self.now_s
        facts = [
            f"ends about {format_near_time(eta_s, self.now_s)}" if is_ahead else "",
            format_amounts(job.estimated_cost, job.input_tokens, job.output_tokens),
        ]
        if any(facts):
            notes.append(Text(", ".join(filter(None, facts)), style="quiet"))
        if job.resume_command and not self.is_closed:
            notes.append(Text(f"resume with: {strip_to_one_line(job.resume_command)}"))
        return notes

    def _has_own_error(self) -> bool:
        return has_own_error(self._job.error, self._job.sheets.values())

    def _draw_sheets(self, room: int) -> list[Text]:
        """Return the table of the sheets, those that have failed or run first if room is short."""
        sheets = list(self._job.sheets.values())
        if not sheets or room < 2:
            return []
        candidates = choose_rows(sheets, room - 1, rank_sheet)
        table = self._make_sheet_table(candidates, has_bars=True)
        # An error that has no room in its row takes a row of its own.
        blocks = table.blocks(self._console, max_note_rows=1)
        shown = choose_blocks(candidates, blocks, room - 1, is_all=len(candidates) == len(sheets))
        lines = [table.heading()]
        for sheet, block in zip(candidates, blocks, strict=True):
            lines += block if sheet.number in shown else []
        if hidden := [sheet.status for sheet in sheets if sheet.number not in shown]:
            text = f"and {len(hidden)} more: {count_statuses(map(strip_to_one_line, hidden))}"
            lines.append(truncate_line(Text(text, style="quiet"), self.columns))
        return lines

    def _make_sheet_table(self, sheets: Sequence[SheetBody], *, has_bars: bool) -> FittedTable:
        return make_sheet_table(
            sheets,
            self.now_s,
            width=self.columns,
            has_bars=has_bars,
            stalled=self._job.stalled,
        )

    def _draw_log(self, room: int) -> list[Text]:
        """Return the newest lines of the log, below a line that separates them."""
        note = strip_to_one_line(self._log.note)
        lines = self._log.newest(room)
        if room < 1 or not (lines or note):
            return []
        name = "conductor's log" if self._log.is_conductor_log else "log"
        title = f"── {name} ──" + (f" {note}" if lines and note else "")
        rows = [lay_out_row(line, self._output, self.columns) for line in lines]
        if not lines:
            rows = wrap_lines(note, "quiet", self._console, self.columns, max_rows=room)
        return [truncate_line(Text(title, style="quiet"), self.columns), *rows]

    def _draw_end(self) -> list[Text]:
        """Return the error of the job and its failed sheets in full, and how it can go on."""
        job, lines = self._job, []
        if self._has_own_error():
            error = f"error: {job.error}"
            lines += wrap_lines(
                error, "fault", self._console, self.columns, max_rows=MAX_ERROR_ROWS
            )
        failed = [sheet for sheet in job.sheets.values() if sheet.status == "failed"]
        if shown := failed[:MAX_FAILED_SHEETS]:
            blocks = self._make_sheet_table(shown, has_bars=False).blocks(self._console)
            lines += chain.from_iterable(blocks)
        if len(failed) > len(shown):
            lines.append(Text(f"and {len(failed) - len(shown)} more failed sheets", style="quiet"))
        if lines:
            lines.append(Text(f"details: {show_command(job.job_id)}", style="quiet"))
        if job.resume_command:
            lines.append(Text(f"resume with: {strip_to_one_line(job.resume_command)}"))
        if self.is_interrupted and job.sheets:
            words = count_statuses(strip_to_one_line(each.status) for each in job.sheets.values())
            lines.append(Text(f"sheets: {words}", style="quiet"))
        return lines


def choose_blocks(
    sheets: Sequence[SheetBody], blocks: Sequence[Sequence[Text]], room: int, *, is_all: bool
) -> set[int]:
    """Return the numbers of the sheets whose lines have room, those that matter most first.

    Args:
        sheets: sheets to choose from.
        blocks: lines of each.
        room: number of rows.
        is_all: whether there are no others. If some are left out, a row is kept for their number.
    """
    if not is_all or sum(map(len, blocks)) > room:
        room -= 1
    shown = set()
    pairs = sorted(zip(sheets, blocks, strict=True), key=lambda pair: rank_sheet(pair[0]))
    for sheet, block in pairs:
        room -= len(block)
        if room < 0:
            break
        shown.add(sheet.number)
    return shown


def rank_sheet(sheet: SheetBody) -> tuple[int, int]:
    """Return the rank of a sheet: failures, then what runs, waits or is next, then the newest."""
    rank = SHEET_RANKS.get(sheet.status, len(SHEET_RANKS))
    return rank, sheet.number if rank < len(SHEET_RANKS) else -sheet.number
