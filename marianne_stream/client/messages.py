"""Messages to the user on standard error, without repetitions."""

import sys
from collections.abc import Callable
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


class SourceReporter:
    """Reports when state no longer comes from the conductor itself, and when it does again."""

    def __init__(self, reporter: StderrReporter) -> None:
        self._reporter = reporter
        self._is_conductor_away = False

    def on_source_event(self, data: dict[str, Any]) -> None:
        """Process the data of a `source` event."""
        is_away = data.get("live") is False
        if is_away == self._is_conductor_away:
            return
        self._is_conductor_away = is_away
        if not is_away:
            self._reporter.report("the conductor answers again")
        elif data.get("source") == "none":
            self._reporter.report("the conductor is away, and what is shown may be out of date")
        else:
            self._reporter.report(
                f"the conductor is away; what is shown is from: {data.get('source')}"
            )
