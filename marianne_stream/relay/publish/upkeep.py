"""Keeps the streams of logs as long as they are to be: now and then, and not with every line.

It must not know what is in them.
"""

from dataclasses import dataclass

from marianne_stream.relay.keys import Keys
from marianne_stream.relay.publish.writer import Command

# A stream is trimmed when it has grown by this part of what it keeps, or by so many entries.
GROWTH = 0.1
MOST_GROWTH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of a log its stream keeps.

    Attributes:
        lines: so many entries, roughly.
        age_s: so long after it was last published.
    """

    lines: int
    age_s: int


class Upkeep:
    """What one stream of a log needs, besides its entries.

    Args:
        kept: how much of it is kept.
        keys: of its source.
        job_id: whose log it is.
    """

    def __init__(self, kept: Kept, keys: Keys, job_id: str) -> None:
        self._kept = kept
        self._log = keys.log(job_id)
        self._files = keys.files(job_id)
        self._grown_rows = self._growth_rows = min(int(kept.lines * GROWTH), MOST_GROWTH_ROWS)

    def due(self, rows: int, *, named: bool) -> list[Command]:
        """What is to be done together with what is added now.

        Args:
            rows: how many entries that is.
            named: whether a file is named with them.
        """
        commands: list[Command] = []
        self._grown_rows += rows
        if self._grown_rows >= self._growth_rows:
            self._grown_rows = 0
            named = True
            commands.append(Command("XTRIM", self._log, ("MAXLEN", "~", str(self._kept.lines))))
        if named:
            commands += self.kept()
        return commands

    def kept(self) -> list[Command]:
        """Has both kept for as long as they are to be, from now on."""
        age = (str(self._kept.age_s),)
        return [Command("EXPIRE", key, age) for key in (self._log, self._files)]
