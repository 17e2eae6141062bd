"""Read budget: the number of bytes that one call in a thread may read, and its cancellation.

Every read of a file is counted here, so a call is bounded however many files it reads, however much
a file expands, and however long a line is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from marianne_stream.errors import ReadLimitError

# Limit of one call, compressed and decompressed bytes: some seconds of work.
MAX_CALL_BYTES = 4 * 1024**3


class CallCancelledError(Exception):
    """The caller was cancelled."""


class ReadBudget:
    """Budget of one call. `cancel` may be called from any thread."""

    def __init__(self, max_bytes: int = MAX_CALL_BYTES) -> None:
        self._remaining_bytes = max_bytes
        self._is_cancelled = False

    def cancel(self) -> None:
        """Stop the call at its next read."""
        self._is_cancelled = True

    def consume(self, size_bytes: int) -> None:
        """Count bytes that were read.

        Raises:
            CallCancelledError: the call was cancelled.
            ReadLimitError: the budget is used up.
        """
        if self._is_cancelled:
            raise CallCancelledError
        self._remaining_bytes -= size_bytes
        if self._remaining_bytes < 0:
            raise ReadLimitError


_CURRENT_BUDGET: ContextVar[ReadBudget | None] = ContextVar("bound", default=None)


@contextmanager
def use_budget(budget: ReadBudget) -> Iterator[None]:
    """Count what this thread reads inside the context against a budget."""
    token = _CURRENT_BUDGET.set(budget)
    try:
        yield
    finally:
        _CURRENT_BUDGET.reset(token)


def consume_budget(size_bytes: int) -> None:
    """Count bytes that this thread has read. Raises as `ReadBudget.consume` does."""
    budget = _CURRENT_BUDGET.get()
    if budget is not None:
        budget.consume(size_bytes)
