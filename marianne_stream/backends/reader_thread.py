"""Thread for the blocking reads of a backend."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from marianne_stream.common.daemon_thread import DaemonThread
from marianne_stream.errors import StateUnreadableError

READ_TIMEOUT_S = 2.0

T = TypeVar("T")


class ReaderThread:
    """Runs the reads of a backend one at a time.

    One thread, so that a hanging file system blocks no more, and a queued read can be cancelled.

    Args:
        name: name of the thread.
        queue_timeout_s: limit of a read including the reads before it, in seconds.

    Attributes:
        subject: what is read, with its path, for errors.
    """

    def __init__(self, name: str, subject: str, *, queue_timeout_s: float) -> None:
        self._name = name
        self.subject = subject
        self._queue_timeout_s = queue_timeout_s
        self._lock = asyncio.Lock()
        self._thread: DaemonThread | None = None

    async def run(self, read: Callable[[threading.Event], T]) -> T:
        """Run a read. Cancelling is safe: the event that the read gets is set if its caller left.

        Raises:
            StateUnreadableError: the read took too long.
        """
        abandoned = threading.Event()
        try:
            async with (
                asyncio.timeout(self._queue_timeout_s) as queue_timeout,
                self._lock,
                asyncio.timeout(READ_TIMEOUT_S),
            ):
                if self._thread is None:
                    self._thread = DaemonThread(self._name)
                call = self._thread.submit(partial(read, abandoned))
                return await asyncio.wrap_future(call)
        except TimeoutError as error:
            limit_s = self._queue_timeout_s if queue_timeout.expired() else READ_TIMEOUT_S
            raise StateUnreadableError(
                f"{self.subject} cannot be read: no answer within {limit_s:g} s"
            ) from error
        finally:
            abandoned.set()

    def close(self) -> None:
        """Let the thread end after its read. The next read starts another."""
        if self._thread is not None:
            self._thread.close()
        self._thread = None
