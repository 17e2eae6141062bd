"""Thread for the blocking reads of a backend."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from marianne_stream.errors import StateUnreadableError

READ_TIMEOUT_S = 2.0

T = TypeVar("T")
ReadQueue = SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]


class ReaderThread:
    """Runs the reads of a backend one at a time.

    One thread, so that a hanging file system blocks no more, and a queued read can be cancelled. It
    is a daemon, so that a hanging read does not keep the process from ending: a ThreadPoolExecutor
    would be joined at exit.

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
        self._reads: ReadQueue | None = None

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
                future: Future[T] = Future()
                self._start().put((future, partial(read, abandoned)))
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            limit_s = self._queue_timeout_s if queue_timeout.expired() else READ_TIMEOUT_S
            raise StateUnreadableError(
                f"{self.subject} cannot be read: no answer within {limit_s:g} s"
            ) from error
        finally:
            abandoned.set()

    def close(self) -> None:
        """Let the thread end after its read. The next read starts another."""
        if self._reads is not None:
            self._reads.put(None)
        self._reads = None

    def _start(self) -> ReadQueue:
        """Return the queue of the thread, which is started if there is none."""
        if self._reads is None:
            self._reads = SimpleQueue()
            threading.Thread(
                target=run_reads, args=(self._reads,), name=self._name, daemon=True
            ).start()
        return self._reads


def run_reads(reads: ReadQueue) -> None:
    """Run reads until None comes."""
    while (item := reads.get()) is not None:
        future, read = item
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(read())
            except BaseException as error:  # noqa: BLE001 - passed to the caller
                future.set_exception(error)
        # A waiting thread must not keep a result alive.
        del item, future, read
