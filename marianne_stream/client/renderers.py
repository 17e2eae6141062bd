"""Renderers of watched jobs for pipes and files: JSON lines, or plain text."""

import time
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from marianne_stream.client.output import Output, pad, status_style
from marianne_stream.client.progress_bar import format_sheet_count
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.sse_client import StreamEvent
from marianne_stream.client.times import format_date_time
from marianne_stream.client.watched_job import WatchedJob

# Width of the longest status, and of 999/999.
STATUS_COLUMNS = 9
SHEET_COUNT_COLUMNS = 7


class JobRenderer:
    """Renderer of watched jobs; ignores what a subclass does not show."""

    def on_event(self, event: StreamEvent) -> None:
        """Process an event as it came."""

    def update(self, job: WatchedJob) -> None:
        """Show a job that may have changed."""

    def remove(self, job_id: str) -> None:
        """Stop to show a job."""


class JsonRenderer(JobRenderer):
    """Renderer that prints each event as one line of JSON."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def on_event(self, event: StreamEvent) -> None:
        """Print the event."""
        self._output.write_objects([event.to_json_object()])


class PlainTextRenderer(JobRenderer):
    """Renderer that prints a line for each visible change.

    `job_ids` are the ids that will come, for the width of their column.
    """

    def __init__(self, output: Output, *, job_ids: Sequence[str] = ()) -> None:
        self._output = output
        self._job_id_columns = max(
            (cell_len(strip_to_one_line(job_id)) for job_id in job_ids), default=0
        )
        self._last_lines: dict[str, str] = {}

    def update(self, job: WatchedJob) -> None:
        """Print a line, unless it repeats the last line of the job."""
        if not job.status:
            return
        line = self._format_line(job)
        if self._last_lines.get(job.job_id) != line.plain:
            self._last_lines[job.job_id] = line.plain
            now = Text.styled(format_date_time(time.time()) + "  ", "quiet")
            self._output.console.print(now + line, soft_wrap=True)

    def remove(self, job_id: str) -> None:
        """Forget the last line of a job, so that it is printed again if the job comes back."""
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
