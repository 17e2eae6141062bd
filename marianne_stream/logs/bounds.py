"""The bound of a call that reads files: the bytes it may read, and a flag that stops it.

Every read of a file is reported here, so that a call is bounded however many files it looks into,
however far one of them expands, and however long a line is. It must not know what is read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from marianne_stream.errors import ReadLimitError

# What one call may read, or decompress: some seconds of it.
CALL_BYTES = 4 * 1024**3


class StoppedError(Exception):
    """Nobody waits for the result of the call any more."""


class Bound:
    """The bound of one call. `stop` may be called from any thread.

    Args:
        most_bytes: how many bytes the call may read.
    """

    def __init__(self, most_bytes: int = CALL_BYTES) -> None:
        self._left_bytes = most_bytes
        self._stopped = False

    def stop(self) -> None:
        """Ends the call at its next read."""
        self._stopped = True

    def count(self, length: int) -> None:
        """Counts bytes that were read.

        Raises:
            StoppedError: the call was stopped.
            ReadLimitError: the call has read more than it may.
        """
        if self._stopped:
            raise StoppedError
        self._left_bytes -= length
        if self._left_bytes < 0:
            raise ReadLimitError


_BOUND: ContextVar[Bound | None] = ContextVar("bound", default=None)


@contextmanager
def within(bound: Bound) -> Iterator[None]:
    """Bounds what this thread reads inside the context."""
    token = _BOUND.set(bound)
    try:
        yield
    finally:
        _BOUND.reset(token)


def count_read(length: int) -> None:
    """Counts bytes that this thread has read from a file; raises as `Bound.count` does."""
    bound = _BOUND.get()
    if bound is not None:
        bound.count(length)
