"""Notices about a log or file on standard error: source; missing, cut and rotated parts."""

from collections.abc import Sequence

from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.messages import StderrReporter
from marianne_stream.client.sse_client import StreamEvent

CONDUCTOR_LOG_SENTENCE = "the job has no log of its own: these are its lines of the conductor's log"

GAP_SENTENCES = {
    "cursor_expired": "the position has expired; the newest lines follow",
    "truncated": "lines are missing: the file was truncated, and no copy is complete",
    "rotated_away": "lines are missing: a rotated file could not be read to its end",
}


class LogNotices:
    """Notices about one job's log; with several jobs, each begins with the job's id."""

    def __init__(self, reporter: StderrReporter, job_id: str = "") -> None:
        self._reporter = reporter
        self._prefix = f"{job_id}: " if job_id else ""
        self._is_labelled = False

    def on_lines(self, lines: Sequence[LogLineBody]) -> None:
        """Report lines of the conductor's log, once, and lines that are cut."""
        if not self._is_labelled and any(line.source == "conductor" for line in lines):
            self._is_labelled = True
            self.report(CONDUCTOR_LOG_SENTENCE)
        for line in lines:
            if line.truncated:
                self.report(
                    f"line {line.line_number} is longer than 64 KiB: its beginning is shown"
                )

    def on_event(self, event: StreamEvent) -> None:
        """Report a missing log, lost lines and rotations."""
        if event.name == "log_missing":
            self.report(str(event.data.get("detail")))
        elif event.name == "log_gap":
            reason, lost_bytes = event.data.get("reason"), event.data.get("lost_bytes")
            sentence = GAP_SENTENCES.get(str(reason), f"lines are missing: {reason}")
            self.report(sentence + (f" ({lost_bytes} bytes)" if lost_bytes else ""))
        elif event.name == "log_rotated":
            self.report(f"the file was {event.data.get('reason')}: its lines start again at 1")

    def report(self, sentence: str) -> None:
        """Report a sentence about the log."""
        self._reporter.report(self._prefix + sentence)
