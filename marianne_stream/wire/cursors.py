"""Cursors: positions in a stream, as the ids of its events.

A cursor is opaque to clients and fits a header. A cursor that cannot be parsed is None and not an
error, since it may come from anywhere.
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

# Bytes before an offset that identify a file and show whether it was rewritten.
HASH_WINDOW_BYTES = 4096


def state_digest(content: bytes) -> str:
    """Return the digest of some content in a cursor: 96 bits of BLAKE2b, in hexadecimal."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def content_hash(content: bytes | memoryview) -> int:
    """Return the hash of some bytes of a log: 64 bits of XXH3, fast enough for each line."""
    return xxhash.xxh3_64_intdigest(content)


@dataclass(frozen=True, slots=True)
class StatusCursor:
    """State of a job that a client has seen.

    Attributes:
        kind: `s` behind a state, `f` behind job_finished.
        state: digest of the state, the same in each process.
    """

    kind: Literal["s", "f"]
    state: str

    def __str__(self) -> str:
        return f"{self.kind}-{self.state}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a cursor from a client; return None if it is invalid."""
        match = STATUS_CURSOR.fullmatch(text)
        return cls("f" if match[1] == "f" else "s", match[2]) if match else None


@dataclass(frozen=True, slots=True)
class RosterCursor:
    """Roster that a client has seen: a digest of all entries, the same in each process."""

    state: str

    def __str__(self) -> str:
        return f"r-{self.state}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a cursor from a client; return None if it is invalid."""
        match = ROSTER_CURSOR.fullmatch(text)
        return cls(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class TimelineCursor:
    """Position behind an event.

    Attributes:
        epoch: process that numbered the event, as 16 hexadecimal digits.
        number: number of the event in that process, from 1.
        others: positions of other processes, if several are served as one.
    """

    epoch: str
    number: int
    others: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        others = "".join(f".{epoch}-{number}" for epoch, number in self.others)
        return f"t-{self.epoch}-{self.number}{others}"

    @property
    def positions(self) -> tuple[tuple[str, int], ...]:
        """Positions of all processes."""
        return ((self.epoch, self.number), *self.others)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a cursor from a client; return None if it is invalid."""
        match = TIMELINE_CURSOR.fullmatch(text)
        if match is None:
            return None
        pairs = [place.split("-") for place in match[3].split(".")[1:]]
        others = tuple((epoch, int(number)) for epoch, number in pairs)
        return cls(match[1], int(match[2]), others)


LogCursorKind = Literal["l", "c", "x"]


@dataclass(frozen=True, slots=True)
class LogCursor:
    """Position behind a line of a log. It matches a file only if the bytes before it have its hash.

    Attributes:
        inode: inode of the file, as a hint: file systems reuse inodes.
        first_line_hash: hash of the first line of the file; 0 if there was none yet.
        offset: offset behind the line.
        number: number of the line; 0 at the beginning.
        window_hash: hash of the last `HASH_WINDOW_BYTES` before the offset. At offset 0, the time
            of the last write, in nanoseconds since the epoch.
        unterminated: whether the line had no newline.
        kind: `l` behind a line, `c` behind log_complete, `x` behind the log_complete of a stream
            that did not follow.
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
        """Return the cursor of a log_complete event at this position."""
        return replace(self, kind="c" if follow else "x")

    def as_resumable(self) -> "LogCursor":
        """Return the cursor of the line at this position, from which a stream goes on."""
        return replace(self, kind="l")

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a cursor from a client; return None if it is invalid."""
        match = LOG_CURSOR.fullmatch(text)
        if match is None or (match[5] and not int(match[6])):
            # An unterminated line is at least line 1.
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
