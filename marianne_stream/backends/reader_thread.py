"""Thread for the blocking reads of a backend."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from marianne_stream.errors import StateUnreadableError

# Limit of one read, and of one read including the reads before it in the queue.
READ_TIMEOUT_S = 2.0
QUEUE_TIMEOUT_S = 10.0

T = TypeVar("T")


class ReaderThread:
    """Runs the reads of a backend one at a time.

    One thread, so that a hanging file system blocks no more, and a queued read can be cancelled.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = asyncio.Lock()
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, read: Callable[[threading.Event], T]) -> T:
        """Run a read. Cancelling is safe: the event that the read gets is set if its caller left.

        Raises:
            StateUnreadableError: the read took too long.
        """
        abandoned = threading.Event()
        try:
            async with (
                asyncio.timeout(QUEUE_TIMEOUT_S),
                self._lock,
                asyncio.timeout(READ_TIMEOUT_S),
            ):
                if self._executor is None:
                    self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._executor, read, abandoned)
        except TimeoutError as error:
            raise StateUnreadableError(f"{self._name} not read within the time limit") from error
        finally:
            abandoned.set()

    def close(self) -> None:
        """Shut the thread down once its read has ended. The next read starts another."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)
