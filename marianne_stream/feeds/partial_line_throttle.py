"""When the unfinished last line of a log is shown. It reads nothing, and sends nothing."""

from marianne_stream.wire.log_lines import LogLine

# A line is shown when nothing was added to it for so long: most are finished by then. One that is
# rewritten all the time, as a progress bar is, has been begun for so long.
PARTIAL_DELAY_S = 1.0

# Once it is shown, its changes are shown no more often.
PARTIAL_INTERVAL_S = 0.25


class PartialLineThrottle:
    """Tells when the unfinished last line of one log is to be shown.

    Args:
        modified_s: when the file was last written, on the monotonic clock.
    """

    def __init__(self, modified_s: float) -> None:
        self._line: LogLine | None = None
        self._line_started_s = self._modified_s = modified_s
        self._is_initial = True
        self._is_overwritten = False
        # The line as it was shown last, and when.
        self._last_sent: LogLine | None = None
        self._last_sent_s = float("-inf")

    def reset(self) -> None:
        """Takes in that whole lines were given: one of them stands where this one was shown."""
        self._line = self._last_sent = None
        self._is_initial = False

    def update(self, line: LogLine | None, now_s: float, *, is_overwritten: bool) -> LogLine | None:
        """Take in the line as it is now; return it if it is to be shown.

        A line that was shown, and is gone without being finished, is shown as an empty one.

        Args:
            line: the line; None if there is none.
            now_s: the moment, on the monotonic clock.
            is_overwritten: whether it has been begun anew by a return.
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
        gone, self._last_sent = self._last_sent, None
        return gone._replace(text=b"", truncated=False) if gone is not None else None

    @property
    def due_s(self) -> float | None:
        """When the line as it is now is to be shown, on the monotonic clock; None for never."""
        line, shown = self._line, self._last_sent
        if (line and line.text) == (shown and shown.text):
            return None
        if shown is not None:
            return self._last_sent_s + PARTIAL_INTERVAL_S
        since_s = self._line_started_s if self._is_overwritten else self._modified_s
        return since_s + PARTIAL_DELAY_S
