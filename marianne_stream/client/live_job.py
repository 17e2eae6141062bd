"""Live display of one watched job: its status, its sheets, and the newest lines of its log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from rich.console import Group, RenderableType
from rich.text import Text

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import SheetBody
from marianne_stream.client.job_view import format_amounts
from marianne_stream.client.live_display import LiveDisplay
from marianne_stream.client.live_table import make_job_table
from marianne_stream.client.log_layout import lay_out_row
from marianne_stream.client.newest_lines import NewestLines
from marianne_stream.client.output import Output, truncate_line
from marianne_stream.client.row_choice import choose_rows, count_statuses
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.sheet_table import make_sheet_table
from marianne_stream.client.times import format_time, parse_iso_time
from marianne_stream.client.watched_job import WatchedJob

# Rows of the log at least, if a third of the terminal has room for them, and at most.
MIN_LOG_ROWS = 5
MAX_LOG_ROWS = 12

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
        super().__init__(output, client.reporter)
        self._clock = client.clock
        self._job = WatchedJob(job_id)
        self._log = NewestLines(client, job_id, self.redraw_soon)

    def update(self, job: WatchedJob) -> None:
        """Show the job at the next redraw."""
        self._job = job
        self.redraw_soon()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Draw inside the context, and follow the log."""
        async with super().running():
            log_task = asyncio.create_task(self._log.run())
            try:
                yield
            finally:
                log_task.cancel()
                await asyncio.wait([log_task])
                if not log_task.cancelled():
                    log_task.result()

    def draw(self) -> RenderableType:
        """Return head, sheets and log; at the end the head and what has failed."""
        head: list[RenderableType] = [
            make_job_table([self._job], self._clock.now_s(), width=self.columns),
            *(truncate_line(note, self.columns) for note in self._notes()),
        ]
        room = self._console.height - 1 - len(head)
        if self.is_closed:
            return Group(*head, *self._draw_end(room))
        log_room = min(MIN_LOG_ROWS, room // 3)
        sheets = self._draw_sheets(room - log_room - 1)
        log = self._draw_log(min(MAX_LOG_ROWS, room - len(sheets) - 1))
        return Group(*head, *sheets, *log)

    def _notes(self) -> list[Text]:
        """Return lines about the job: why it waits, its error, its estimated end and its cost."""
        job, notes = self._job, []
        if job.waiting is not None:
            until_s = parse_iso_time(job.waiting.until)
            until = "" if until_s is None else f" Until {format_time(until_s)}."
            notes.append(Text(strip_to_one_line(f"waits: {job.waiting.detail}") + until))
        if job.stalled:
            numbers = ", ".join(map(str, job.stalled))
            notes.append(Text(f"no sign of life from sheet {numbers}", style="fault"))
        if job.error and not any(sheet.error_message for sheet in job.sheets.values()):
            notes.append(Text(f"error: {strip_to_one_line(job.error)}", style="fault"))
        eta_s = parse_iso_time(job.eta_at)
        is_ahead = eta_s is not None and not job.is_over and eta_s > self._clock.now_s()
        facts = [
            f"ends about {format_time(eta_s)}" if eta_s is not None and is_ahead else "",
            format_amounts(job.estimated_cost, job.input_tokens, job.output_tokens),
        ]
        if any(facts):
            notes.append(Text(", ".join(filter(None, facts)), style="quiet"))
        return notes

    def _draw_sheets(self, room: int) -> list[Text]:
        """Return the table of the sheets, those that have failed or run first if room is short."""
        sheets = list(self._job.sheets.values())
        if not sheets or room < 2:
            return []
        shown: list[SheetBody] = []
        lines: list[Text] = []
        # An error that has no room in its row takes a row of its own.
        for count in range(min(len(sheets), room), 0, -1):
            shown = choose_rows(sheets, count, rank_sheet)
            lines = self._make_lines(shown)
            if len(lines) + (len(shown) < len(sheets)) <= room:
                break
        if len(shown) < len(sheets):
            numbers = {sheet.number for sheet in shown}
            hidden = [sheet.status for sheet in sheets if sheet.number not in numbers]
            text = f"and {len(hidden)} more: {count_statuses(map(strip_to_one_line, hidden))}"
            lines.append(truncate_line(Text(text, style="quiet"), self.columns))
        return lines

    def _make_lines(self, sheets: Sequence[SheetBody], *, note_rows: int = 1) -> list[Text]:
        """Return the lines of the table of sheets, of each error as many rows at most."""
        table = make_sheet_table(
            sheets,
            self._clock.now_s(),
            width=self.columns,
            # At the end, only failed sheets are shown.
            has_bars=not self.is_closed,
            stalled=self._job.stalled,
        )
        return table.lines(self._console, max_note_rows=note_rows)

    def _draw_log(self, room: int) -> list[Text]:
        """Return the newest lines of the log, below a line that separates them."""
        if room < 1:
            return []
        if lines := self._log.newest(room):
            rows = [lay_out_row(line, self._output, self.columns) for line in lines]
        elif self._log.note:
            rows = [truncate_line(Text(strip_to_one_line(self._log.note), "quiet"), self.columns)]
        else:
            return []
        title = "── log ".ljust(min(self.columns, 40), "─")
        return [Text(title, style="quiet"), *rows]

    def _draw_end(self, room: int) -> list[Text]:
        """Return the sheets that have failed, and the number of sheets by status."""
        sheets = self._job.sheets.values()
        failed = [sheet for sheet in sheets if sheet.status == "failed"][: max(1, room // 2)]
        lines = self._make_lines(failed, note_rows=max(1, room // 4))[1:] if failed else []
        if self.is_interrupted and sheets:
            words = count_statuses(strip_to_one_line(sheet.status) for sheet in sheets)
            lines.append(Text(f"sheets: {words}", style="quiet"))
        return lines


def rank_sheet(sheet: SheetBody) -> tuple[int, int]:
    """Return the rank of a sheet: failures, then what runs, waits or is next, then the newest."""
    rank = SHEET_RANKS.get(sheet.status, len(SHEET_RANKS))
    return rank, sheet.number if rank < len(SHEET_RANKS) else -sheet.number
