"""Supervision of the background tasks that run as long as the server."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from marianne_stream.common.repeated_logs import LogLimiter
from marianne_stream.common.task_set import KeyedTasks, cancel_and_wait

logger = logging.getLogger(__name__)

# Minimum interval between warnings about a persistent problem.
LOG_INTERVAL_S = 60.0


class TaskSupervisor:
    """Background tasks that run as long as the server. A task that ends by itself has failed.

    Attributes:
        failed: set once a task has failed.
        error: the exception of the first task that failed.
    """

    def __init__(self) -> None:
        self.failed = asyncio.Event()
        self.error: BaseException | None = None
        self._accept_warnings = LogLimiter(LOG_INTERVAL_S)
        self._tasks = KeyedTasks[str](self._on_failure, may_end=False)

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start a task."""
        self._tasks.start(name, coroutine, name=name)

    async def cancel(self, *names: str) -> None:
        """Cancel the named tasks, or all without a name, and wait until they have ended."""
        tasks = [self._tasks.cancel(name) for name in names or self._tasks.keys()]
        await cancel_and_wait(task for task in tasks if task is not None)

    def handle_loop_exception(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        """Handle an exception that reached the event loop.

        An exception of this program's code counts as a failed task. Failed connections, and
        connections that the loop could not accept (accept(2), ERRORS), do not.
        """
        error = context.get("exception")
        task_keys = {"task", "future", "handle"} & context.keys()
        callback = getattr(context.get("handle"), "_callback", None)
        is_asyncio_internal = (getattr(callback, "__module__", "") or "").startswith("asyncio.")
        if isinstance(error, OSError) and "socket" in context:
            # asyncio reports it again and again while connections wait.
            if self._accept_warnings.is_due():
                logger.warning("connections cannot be accepted error=%r", error.strerror)
            return
        if error is None or not task_keys or is_asyncio_internal:
            loop.default_exception_handler(context)
            return
        self._fail(str(context.get("message")), error)

    def _on_failure(self, name: str, error: BaseException) -> None:
        self._fail(f"task failed name={name!r}", error)

    def _fail(self, message: str, error: BaseException) -> None:
        logger.error("%s", message, exc_info=error)
        if self.error is None:
            self.error = error
        self.failed.set()
