"""The tasks that run as long as the server does. It must not know what they do."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

# What lasts is said once in so long.
LOG_INTERVAL_S = 60.0


class TaskSupervisor:
    """The tasks that run as long as the server does. One that ends by itself has failed.

    Attributes:
        failed: set when a task has failed.
        error: what it failed with.
    """

    def __init__(self) -> None:
        self.failed = asyncio.Event()
        self.error: BaseException | None = None
        # That no connection could be accepted.
        self._last_accept_warning_at = -LOG_INTERVAL_S
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Starts a task."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks[name] = task
        task.add_done_callback(self._on_done)

    async def cancel(self, *names: str) -> None:
        """Cancels the named tasks, all where none is named, and returns when they have ended."""
        tasks = [
            self._tasks.pop(name) for name in names or list(self._tasks) if name in self._tasks
        ]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def handle_loop_exception(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        """Takes what the loop cannot tell anybody else; a fault of ours ends the server.

        A client whose connection fails is none, and neither is a connection that the loop itself
        could not accept (accept(2), ERRORS).
        """
        error = context.get("exception")
        ours = {"task", "future", "handle"} & context.keys()
        callback = getattr(context.get("handle"), "_callback", None)
        if isinstance(error, OSError) and "socket" in context:
            # Each connection that waits is one, again and again.
            if loop.time() - self._last_accept_warning_at >= LOG_INTERVAL_S:
                self._last_accept_warning_at = loop.time()
                logger.warning("connections wait and cannot be accepted: %s", error.strerror)
            return
        if error is None or not ours or is_asyncio_internal(callback):
            loop.default_exception_handler(context)
            return
        self._fail(str(context.get("message")), error)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            error = task.exception() or RuntimeError("it ended by itself")
            self._fail(f"{task.get_name()} has failed", error)

    def _fail(self, message: str, error: BaseException) -> None:
        logger.error("%s", message, exc_info=error)
        if self.error is None:
            self.error = error
        self.failed.set()


def is_asyncio_internal(callback: object) -> bool:
    """Whether a callback of the loop is one of its own."""
    return (getattr(callback, "__module__", "") or "").startswith("asyncio.")
