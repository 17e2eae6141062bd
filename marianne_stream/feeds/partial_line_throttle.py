"""Throttle for showing the unfinished last line of a log."""

from marianne_stream.wire.log_lines import LogLine

# Show a line after so long without a change: most are finished by then. A line that is overwritten
# all the time, such as a progress bar, is shown so long after its beginning.
PARTIAL_DELAY_S = 1.0

# Shortest time between two updates of a line that is shown.
PARTIAL_INTERVAL_S = 0.25


class PartialLineThrottle:
    """Decides when the unfinished last line of one log is due. Times are monotonic."""

    def __init__(self, modified_s: float) -> None:
        self._line: LogLine | None = None
        self._line_started_s = self._modified_s = modified_s
        self._is_initial = True
        self._is_overwritten = False
        self._last_sent: LogLine | None = None
        self._last_sent_s = float("-inf")

    def reset(self) -> None:
        """Take in that whole lines were read: one of them replaces the unfinished line."""
        self._line = self._last_sent = None
        self._is_initial = False

    def update(self, line: LogLine | None, now_s: float, *, is_overwritten: bool) -> LogLine | None:
        """Take in the line as it is now; return it if it is due.

        A line that was shown, and is gone without being finished, is returned as an empty one.
        """
        self._is_overwritten = is_overwritten
        if line != self._line:
            if not self._is_initial:
                self._modified_s = now_s
                if self._line is None:
                    self._line_started_s = now_s
            self._is_initial, self._line = False, line
        due_s = self.due_s
        if due_s is None or now_s < due_s:
            return None
        self._last_sent_s = now_s
        if line is not None:
            self._last_sent = line
            return line
        last_sent, self._last_sent = self._last_sent, None
        return last_sent._replace(text=b"", truncated=False) if last_sent is not None else None

    @property
    def due_s(self) -> float | None:
        """Time on the monotonic clock at which the line is due; None for never."""
        line, last_sent = self._line, self._last_sent
        if (line and line.text) == (last_sent and last_sent.text):
            return None
        if last_sent is not None:
            return self._last_sent_s + PARTIAL_INTERVAL_S
        since_s = self._line_started_s if self._is_overwritten else self._modified_s
        return since_s + PARTIAL_DELAY_S
