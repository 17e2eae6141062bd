"""Messages to the user on standard error, without repetitions."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from marianne_stream.client.sanitize import strip_to_one_line

PREFIX = "marianne-stream: "


def write_stderr(line: str) -> None:
    """Write a line to standard error."""
    print(line, file=sys.stderr, flush=True)


class StderrReporter:
    """Reporter of messages on standard error.

    A live display replaces `write`. `before_report` is called before each message, so that a
    redrawn line can make room.
    """

    def __init__(self, write: Callable[[str], None] = write_stderr) -> None:
        self.write = write
        self.before_report: Callable[[], None] = lambda: None
        self._last_sentence = ""

    def report(self, sentence: str) -> None:
        """Write a message, unless it repeats the last one: several streams fail at once."""
        if sentence != self._last_sentence:
            self._last_sentence = sentence
            self.before_report()
            self.write(PREFIX + strip_to_one_line(sentence))


class ConnectionStatus:
    """Reports the loss of the connection once for all streams, and its recovery."""

    def __init__(self, reporter: StderrReporter) -> None:
        self._reporter = reporter
        self._disconnected: set[object] = set()

    @property
    def is_lost(self) -> bool:
        """Return whether a stream has no connection."""
        return bool(self._disconnected)

    def on_disconnected(self, connection: object, sentence: str) -> None:
        """Record that a stream has no connection."""
        if not self._disconnected:
            self._reporter.report(f"{sentence}; trying again")
        self._disconnected.add(connection)

    def on_connected(self, connection: object) -> None:
        """Record that a stream has a connection."""
        if connection in self._disconnected:
            self._disconnected.remove(connection)
            if not self._disconnected:
                self._reporter.report("connected again")

    def discard(self, connection: object) -> None:
        """Forget a stream that does not retry any more."""
        self._disconnected.discard(connection)


def describe_source(data: Mapping[str, Any]) -> str:
    """Return why state is not live, in a sentence without a full stop; "" if it is live.

    Args:
        data: data of a `source` event, or a response with the same fields. A folder of checkpoints
            counts as live, since its server asks no conductor.
    """
    if data.get("live") is not False or data.get("source") == "json":
        return ""
    reason = str(data.get("detail") or "").rstrip(".")
    if data.get("source") == "registry":
        # Also of a job that a conductor which answers does not know any more.
        state = "the state is from the registry, not from the conductor, and may be out of date"
    else:
        state, reason = "what is shown may be out of date", reason or "the conductor is away"
    return f"{reason}; {state}" if reason else state


class SourceReporter:
    """Reports when state no longer comes from the conductor itself, and when it does again."""

    def __init__(self, reporter: StderrReporter) -> None:
        self._reporter = reporter
        self._is_conductor_away = False

    def on_source_event(self, data: dict[str, Any]) -> None:
        """Process the data of a `source` event."""
        note = describe_source(data)
        if bool(note) != self._is_conductor_away:
            self._is_conductor_away = bool(note)
            self._reporter.report(note or "the conductor answers again")
