"""Positions in a stream, as the ids of its events.

A cursor is opaque to clients, fits a header, and is made again the same by another process where
the text below says so. One that cannot be read is None: never an error, since it may come from
anywhere.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, Self

STATUS_CURSOR = re.compile(r"([sf])-([0-9a-f]{24})")
TIMELINE_CURSOR = re.compile(r"t-([0-9a-f]{16})-([0-9]{1,18})")
ROSTER_CURSOR = re.compile(r"r-([0-9a-f]{24})")


def digest(content: bytes) -> str:
    """What stands for some content in a cursor: 96 bits of BLAKE2b, in hexadecimal."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class StatusCursor:
    """What a viewer of one job has seen: a state, or also that it was the last.

    Attributes:
        kind: `s` after a state, `f` after job_finished.
        state: the digest of the state, the same in every process that sees that state.
    """

    kind: Literal["s", "f"]
    state: str

    def __str__(self) -> str:
        return f"{self.kind}-{self.state}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The cursor that a client sent, or None where it is none of ours."""
        match = STATUS_CURSOR.fullmatch(text)
        return cls("f" if match[1] == "f" else "s", match[2]) if match else None


@dataclass(frozen=True, slots=True)
class RosterCursor:
    """What a viewer of the roster has seen.

    Attributes:
        state: the digest of all entries.
    """

    state: str

    def __str__(self) -> str:
        return f"r-{self.state}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The cursor that a client sent, or None where it is none of ours."""
        match = ROSTER_CURSOR.fullmatch(text)
        return cls(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class TimelineCursor:
    """An event of the timeline.

    Attributes:
        epoch: the process that numbered it, as 16 hexadecimal digits.
        number: its number there, from 1.
    """

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"t-{self.epoch}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The cursor that a client sent, or None where it is none of ours."""
        match = TIMELINE_CURSOR.fullmatch(text)
        return cls(match[1], int(match[2])) if match else None
