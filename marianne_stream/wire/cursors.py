"""Positions in a stream, as the ids of its events.

A cursor is opaque to clients, fits a header, and is made again the same by another process where
the text below says so. One that cannot be read is None: never an error, since it may come from
anywhere.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Literal, Self

import xxhash

STATUS_CURSOR = re.compile(r"([sf])-([0-9a-f]{24})")
TIMELINE_CURSOR = re.compile(
    r"t-([0-9a-f]{16})-([0-9]{1,18})((?:\.[0-9a-f]{16}-[0-9]{1,18}){0,200})"
)
ROSTER_CURSOR = re.compile(r"r-([0-9a-f]{24})")
LOG_CURSOR = re.compile(
    r"([lcx])-([0-9a-f]{1,16})-([0-9a-f]{16})-([0-9]{1,18})(u?)-([0-9]{1,18})-([0-9a-f]{16})"
)

# How much of a log before an offset tells it from another file, or from the same one rewritten.
HASH_WINDOW_BYTES = 4096


def state_digest(content: bytes) -> str:
    """What stands for some content in a cursor: 96 bits of BLAKE2b, in hexadecimal."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def content_hash(content: bytes | memoryview) -> int:
    """What stands for some bytes of a log: 64 bits of XXH3, quick enough for each line."""
    return xxhash.xxh3_64_intdigest(content)


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
        others: where the timelines of other processes stood then, where several are served as one.
    """

    epoch: str
    number: int
    others: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        others = "".join(f".{epoch}-{number}" for epoch, number in self.others)
        return f"t-{self.epoch}-{self.number}{others}"

    @property
    def positions(self) -> tuple[tuple[str, int], ...]:
        """Where all timelines stand that it tells of."""
        return ((self.epoch, self.number), *self.others)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The cursor that a client sent, or None where it is none of ours."""
        match = TIMELINE_CURSOR.fullmatch(text)
        if match is None:
            return None
        pairs = [place.split("-") for place in match[3].split(".")[1:]]
        others = tuple((epoch, int(number)) for epoch, number in pairs)
        return cls(match[1], int(match[2]), others)


LogCursorKind = Literal["l", "c", "x"]


@dataclass(frozen=True, slots=True)
class LogCursor:
    """A position in a log, behind a line. It fits a file only where the bytes before it agree.

    Attributes:
        inode: the file's, as a hint: file systems give the same one again.
        first_line_hash: the fingerprint of the file's first line; 0 where there was none yet.
        offset: how many bytes of the file lie before it.
        number: the number of the line before it, 0 at the beginning.
        window_hash: the fingerprint of the bytes before it, `HASH_WINDOW_BYTES` at most. At offset
            0, where there are none, when the file was last written, in nanoseconds of the epoch.
        unterminated: whether the line before it had no newline.
        kind: `l` behind a line, `c` behind log_complete, `x` behind the one of a stream that was
            not to follow.
    """

    inode: int
    first_line_hash: int
    offset: int
    number: int
    window_hash: int
    unterminated: bool = False
    kind: LogCursorKind = "l"

    def __str__(self) -> str:
        mark = "u" if self.unterminated else ""
        return (
            f"{self.kind}-{self.inode:x}-{self.first_line_hash:016x}-{self.offset}{mark}"
            f"-{self.number}-{self.window_hash:016x}"
        )

    def as_complete(self, *, follow: bool) -> "LogCursor":
        """The same position behind a log_complete."""
        return replace(self, kind="c" if follow else "x")

    def as_resumable(self) -> "LogCursor":
        """The same position, from which a stream goes on whatever it was the end of."""
        return replace(self, kind="l")

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The cursor that a client sent, or None where it is none of ours."""
        match = LOG_CURSOR.fullmatch(text)
        if match is None or (match[5] and not int(match[6])):
            # Behind a line without a newline there is at least that line.
            return None
        kind: LogCursorKind = "x" if match[1] == "x" else "c" if match[1] == "c" else "l"
        return cls(
            inode=int(match[2], 16),
            first_line_hash=int(match[3], 16),
            offset=int(match[4]),
            number=int(match[6]),
            window_hash=int(match[7], 16),
            unterminated=bool(match[5]),
            kind=kind,
        )
