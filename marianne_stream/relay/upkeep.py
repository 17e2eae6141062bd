"""Keeps the streams of logs as long as they are to be: now and then, and not with every line.

It must not know what is in them.
"""

import time
from dataclasses import dataclass

from marianne_stream.relay.keys import Keys
from marianne_stream.relay.writer import Command

# How often it is said, at the least, how long a log is kept.
EXPIRY_SAID_S = 30.0

# A stream is trimmed when it has grown by this part of what it keeps, or by so many entries.
GROWTH = 0.1
MOST_GROWTH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of a log its stream keeps.

    Attributes:
        lines: so many entries, roughly.
        age_s: so long after it was last written.
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
        self._said_at = float("-inf")

    def due(self, rows: int) -> list[Command]:
        """What is to be done together with so many entries that are added now."""
        commands: list[Command] = []
        self._grown_rows += rows
        if self._grown_rows >= self._growth_rows:
            self._grown_rows = 0
            commands.append(Command("XTRIM", self._log, ("MAXLEN", "~", str(self._kept.lines))))
        now = time.monotonic()
        if now - self._said_at >= min(EXPIRY_SAID_S, self._kept.age_s / 2):
            self._said_at = now
            age = (str(self._kept.age_s),)
            commands += [Command("EXPIRE", key, age) for key in (self._log, self._files)]
        return commands
