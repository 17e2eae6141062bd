"""How watched jobs are shown where nothing can be drawn over: as JSON, or as plain lines.

It must not know where the jobs' states come from.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from rich.cells import cell_len
from rich.text import Text

from marianne_stream.client.bars import count
from marianne_stream.client.cleaning import clean_word
from marianne_stream.client.output import Output, padded, status_style
from marianne_stream.client.stream import Event
from marianne_stream.client.times import clock
from marianne_stream.client.watched import WatchedJob

# As wide as the longest status of the conductor's, and its SHEETS.
STATUS_COLUMNS = 9
COUNT_COLUMNS = 7


class View(Protocol):
    """Whatever shows watched jobs."""

    @property
    def shows_times(self) -> bool:
        """Whether it wants to know when a job started and ended."""

    def hear(self, event: Event) -> None:
        """Takes an event as it came."""

    def show(self, job: WatchedJob) -> None:
        """Takes a job that may look other than before."""

    def forget(self, job_id: str) -> None:
        """Takes that a job is not to be shown any more."""


class JsonView:
    """Each event as one line of JSON.

    Args:
        output: where to write.
    """

    shows_times = False

    def __init__(self, output: Output) -> None:
        self._output = output

    def hear(self, event: Event) -> None:
        """Writes it."""
        self._output.write_objects([event.as_object()])

    def show(self, job: WatchedJob) -> None:
        """Nothing: the event has said it."""

    def forget(self, job_id: str) -> None:
        """Nothing: the event has said it."""


class LineView:
    """A line for each change that can be seen.

    Args:
        output: where to write.
        job_ids: the ids that are known to come, so that what follows stands in columns.
    """

    shows_times = False

    def __init__(self, output: Output, *, job_ids: Sequence[str] = ()) -> None:
        self._output = output
        self._columns = max((cell_len(clean_word(job_id)) for job_id in job_ids), default=0)
        self._last: dict[str, str] = {}

    def hear(self, event: Event) -> None:
        """Nothing: the job is shown instead."""

    def show(self, job: WatchedJob) -> None:
        """Writes a line, where it is another than the job's last."""
        if not job.status:
            return
        line = self._line(job)
        if self._last.get(job.job_id) != line.plain:
            self._last[job.job_id] = line.plain
            now = Text(clock(time.time()) + "  ", style="quiet")
            self._output.console.print(now + line, soft_wrap=True)

    def forget(self, job_id: str) -> None:
        """Has it written anew, should it come back."""
        self._last.pop(job_id, None)

    def _line(self, job: WatchedJob) -> Text:
        line = Text(padded(clean_word(job.job_id), self._columns) + "  ")
        status = clean_word(job.status)
        line.append(status.ljust(STATUS_COLUMNS), style=status_style(job.status))
        line.append("  " + count(job.completed, job.total).rjust(COUNT_COLUMNS))
        if job.current is not None:
            line.append(f"  sheet {job.current}")
        if job.error:
            line.append("  " + clean_word(job.error), style="fault")
        line.rstrip()
        return line
