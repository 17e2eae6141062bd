"""What is said to the user beside the output: on standard error, each thing once.

It must not know what the output is.
"""

import sys
from collections.abc import Callable
from typing import Any

from marianne_stream.client.sanitize import strip_to_one_line

PREFIX = "marianne-stream: "


def write_stderr(line: str) -> None:
    """Writes a line to standard error."""
    print(line, file=sys.stderr, flush=True)


class StderrReporter:
    """Says sentences on standard error.

    Args:
        write: how a line is shown.

    Attributes:
        write: the same; a live display puts its own way here.
        before_report: called before anything is said, so that a line that is drawn over makes room.
    """

    def __init__(self, write: Callable[[str], None] = write_stderr) -> None:
        self.write = write
        self.before_report: Callable[[], None] = lambda: None
        self._last_sentence = ""

    def report(self, sentence: str) -> None:
        """Says a sentence, unless it was the last: several streams fail as one."""
        if sentence != self._last_sentence:
            self._last_sentence = sentence
            self.before_report()
            self.write(PREFIX + strip_to_one_line(sentence))


class ConnectionStatus:
    """Says that there is no connection, once for all streams, and when all have one again.

    Args:
        reporter: where it is said.
    """

    def __init__(self, reporter: StderrReporter) -> None:
        self._reporter = reporter
        self._disconnected: set[object] = set()

    def on_disconnected(self, connection: object, sentence: str) -> None:
        """Takes that one has lost his connection, or did not get one."""
        if not self._disconnected:
            self._reporter.report(f"{sentence}; trying again")
        self._disconnected.add(connection)

    def on_connected(self, connection: object) -> None:
        """Takes that one has a connection."""
        if connection in self._disconnected:
            self._disconnected.remove(connection)
            if not self._disconnected:
                self._reporter.report("connected again")

    def discard(self, connection: object) -> None:
        """Takes that one tries no more."""
        self._disconnected.discard(connection)


class SourceReporter:
    """Says when state does not come from the conductor itself, and when it does again."""

    def __init__(self, reporter: StderrReporter) -> None:
        self._reporter = reporter
        self._is_conductor_away = False

    def on_source_event(self, data: dict[str, Any]) -> None:
        """Takes the data of a `source` event."""
        away = data.get("live") is False
        if away == self._is_conductor_away:
            return
        self._is_conductor_away = away
        if not away:
            self._reporter.report("the conductor answers again")
        elif data.get("source") == "none":
            self._reporter.report("the conductor is away, and what is shown may be out of date")
        else:
            self._reporter.report(
                f"the conductor is away; what is shown is from: {data.get('source')}"
            )
