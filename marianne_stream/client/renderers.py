"""How watched jobs are shown where nothing can be drawn over: as JSON, or as plain lines.

It must not know where the jobs' states come from.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from rich.cells import cell_len
from rich.text import Text

from marianne_stream.client.output import Output, pad, status_style
from marianne_stream.client.progress_bar import format_sheet_count
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.sse_client import StreamEvent
from marianne_stream.client.times import format_time
from marianne_stream.client.watched_job import WatchedJob

# As wide as the longest status of the conductor's, and its SHEETS.
STATUS_COLUMNS = 9
SHEET_COUNT_COLUMNS = 7


class JobRenderer(Protocol):
    """Whatever shows watched jobs."""

    @property
    def needs_times(self) -> bool:
        """Whether it wants to know when a job started and ended."""

    def on_event(self, event: StreamEvent) -> None:
        """Takes an event as it came."""

    def update(self, job: WatchedJob) -> None:
        """Takes a job that may look other than before."""

    def remove(self, job_id: str) -> None:
        """Takes that a job is not to be shown any more."""


class JsonRenderer:
    """Each event as one line of JSON.

    Args:
        output: where to write.
    """

    needs_times = False

    def __init__(self, output: Output) -> None:
        self._output = output

    def on_event(self, event: StreamEvent) -> None:
        """Writes it."""
        self._output.write_objects([event.to_json_object()])

    def update(self, job: WatchedJob) -> None:
        """Nothing: the event has said it."""

    def remove(self, job_id: str) -> None:
        """Nothing: the event has said it."""


class PlainTextRenderer:
    """A line for each change that can be seen.

    Args:
        output: where to write.
        job_ids: the ids that are known to come, so that what follows stands in columns.
    """

    needs_times = False

    def __init__(self, output: Output, *, job_ids: Sequence[str] = ()) -> None:
        self._output = output
        self._job_id_columns = max(
            (cell_len(strip_to_one_line(job_id)) for job_id in job_ids), default=0
        )
        self._last_lines: dict[str, str] = {}

    def on_event(self, event: StreamEvent) -> None:
        """Nothing: the job is shown instead."""

    def update(self, job: WatchedJob) -> None:
        """Writes a line, where it is another than the job's last."""
        if not job.status:
            return
        line = self._format_line(job)
        if self._last_lines.get(job.job_id) != line.plain:
            self._last_lines[job.job_id] = line.plain
            now = Text(format_time(time.time()) + "  ", style="quiet")
            self._output.console.print(now + line, soft_wrap=True)

    def remove(self, job_id: str) -> None:
        """Has it written anew, should it come back."""
        self._last_lines.pop(job_id, None)

    def _format_line(self, job: WatchedJob) -> Text:
        line = Text(pad(strip_to_one_line(job.job_id), self._job_id_columns) + "  ")
        status = strip_to_one_line(job.status)
        line.append(status.ljust(STATUS_COLUMNS), style=status_style(job.status))
        line.append(
            "  "
            + format_sheet_count(job.completed_sheets, job.total_sheets).rjust(SHEET_COUNT_COLUMNS)
        )
        if job.current_sheet is not None:
            line.append(f"  sheet {job.current_sheet}")
        if job.error:
            line.append("  " + strip_to_one_line(job.error), style="fault")
        line.rstrip()
        return line
