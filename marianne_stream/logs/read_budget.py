"""The bound of a call that reads files: the bytes it may read, and a flag that stops it.

Every read of a file is reported here, so that a call is bounded however many files it looks into,
however far one of them expands, and however long a line is. It must not know what is read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from marianne_stream.errors import ReadLimitError

# What one call may read, or decompress: some seconds of it.
MAX_CALL_BYTES = 4 * 1024**3


class CallCancelledError(Exception):
    """Nobody waits for the result of the call any more."""


class ReadBudget:
    """The bound of one call. `stop` may be called from any thread.

    Args:
        max_bytes: how many bytes the call may read.
    """

    def __init__(self, max_bytes: int = MAX_CALL_BYTES) -> None:
        self._remaining_bytes = max_bytes
        self._is_cancelled = False

    def cancel(self) -> None:
        """Ends the call at its next read."""
        self._is_cancelled = True

    def consume(self, size_bytes: int) -> None:
        """Counts bytes that were read.

        Raises:
            StoppedError: the call was stopped.
            ReadLimitError: the call has read more than it may.
        """
        if self._is_cancelled:
            raise CallCancelledError
        self._remaining_bytes -= size_bytes
        if self._remaining_bytes < 0:
            raise ReadLimitError


_CURRENT_BUDGET: ContextVar[ReadBudget | None] = ContextVar("bound", default=None)


@contextmanager
def use_budget(budget: ReadBudget) -> Iterator[None]:
    """Bounds what this thread reads inside the context."""
    token = _CURRENT_BUDGET.set(budget)
    try:
        yield
    finally:
        _CURRENT_BUDGET.reset(token)


def consume_budget(size_bytes: int) -> None:
    """Counts bytes that this thread has read from a file; raises as `ReadBudget.consume` does."""
    bound = _CURRENT_BUDGET.get()
    if bound is not None:
        bound.consume(size_bytes)
