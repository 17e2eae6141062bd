"""What is said to the user beside the output: on standard error, each thing once.

It must not know what the output is.
"""

import sys
from collections.abc import Callable
from typing import Any

from marianne_stream.client.cleaning import clean_word

PREFIX = "marianne-stream: "


def write_line(line: str) -> None:
    """Writes a line to standard error."""
    print(line, file=sys.stderr, flush=True)


class Notes:
    """Says sentences on standard error.

    Args:
        say_line: how a line is shown.

    Attributes:
        say_line: the same; a live display puts its own way here.
        before: called before anything is said, so that a line that is drawn over makes room.
    """

    def __init__(self, say_line: Callable[[str], None] = write_line) -> None:
        self.say_line = say_line
        self.before: Callable[[], None] = lambda: None
        self._last = ""

    def say(self, sentence: str) -> None:
        """Says a sentence, unless it was the last: several streams fail as one."""
        if sentence != self._last:
            self._last = sentence
            self.before()
            self.say_line(PREFIX + clean_word(sentence))


class Outage:
    """Says that there is no connection, once for all streams, and when all have one again.

    Args:
        notes: where it is said.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._without: set[object] = set()

    def begins(self, who: object, sentence: str) -> None:
        """Takes that one has lost his connection, or did not get one."""
        if not self._without:
            self._notes.say(f"{sentence}; trying again")
        self._without.add(who)

    def ends(self, who: object) -> None:
        """Takes that one has a connection."""
        if who in self._without:
            self._without.remove(who)
            if not self._without:
                self._notes.say("connected again")

    def given_up(self, who: object) -> None:
        """Takes that one tries no more."""
        self._without.discard(who)


class SourceNotes:
    """Says when state does not come from the conductor itself, and when it does again."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._away = False

    def hear(self, data: dict[str, Any]) -> None:
        """Takes the data of a `source` event."""
        away = data.get("live") is False
        if away == self._away:
            return
        self._away = away
        if not away:
            self._notes.say("the conductor answers again")
        elif data.get("source") == "none":
            self._notes.say("the conductor is away, and what is shown may be out of date")
        else:
            self._notes.say(f"the conductor is away; what is shown is from: {data.get('source')}")
