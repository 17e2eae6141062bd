"""When the unfinished last line of a log is shown. It reads nothing, and sends nothing."""

from marianne_stream.wire.log_lines import LogLine

# A line is shown when nothing was added to it for so long: most are finished by then. One that is
# rewritten all the time, as a progress bar is, has been begun for so long.
PARTIAL_AFTER_S = 1.0

# Once it is shown, its changes are shown no more often.
PARTIAL_INTERVAL_S = 0.25


class PartialLine:
    """Tells when the unfinished last line of one log is to be shown.

    Args:
        written_s: when the file was last written, on the monotonic clock.
    """

    def __init__(self, written_s: float) -> None:
        self._line: LogLine | None = None
        self._begun_s = self._written_s = written_s
        self._is_first = True
        self._returned = False
        # The line as it was shown last, and when.
        self._shown: LogLine | None = None
        self._shown_s = float("-inf")

    def finish(self) -> None:
        """Takes in that whole lines were given: one of them stands where this one was shown."""
        self._line = self._shown = None
        self._is_first = False

    def take(self, line: LogLine | None, now_s: float, *, returned: bool) -> LogLine | None:
        """Take in the line as it is now; return it if it is to be shown.

        A line that was shown, and is gone without being finished, is shown as an empty one.

        Args:
            line: the line; None if there is none.
            now_s: the moment, on the monotonic clock.
            returned: whether it has been begun anew by a return.
        """
        self._returned = returned
        if line != self._line:
            if not self._is_first:
                self._written_s = now_s
                if self._line is None:
                    self._begun_s = now_s
            self._is_first, self._line = False, line
        due_s = self.due_s
        if due_s is None or now_s < due_s:
            return None
        self._shown_s = now_s
        if line is not None:
            self._shown = line
            return line
        gone, self._shown = self._shown, None
        return gone._replace(text=b"", truncated=False) if gone is not None else None

    @property
    def due_s(self) -> float | None:
        """When the line as it is now is to be shown, on the monotonic clock; None for never."""
        line, shown = self._line, self._shown
        if (line and line.text) == (shown and shown.text):
            return None
        if shown is not None:
            return self._shown_s + PARTIAL_INTERVAL_S
        since_s = self._begun_s if self._returned else self._written_s
        return since_s + PARTIAL_AFTER_S
