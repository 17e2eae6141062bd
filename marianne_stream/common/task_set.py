"""Tasks that belong to an owner: cancelled together, and their failures are heard."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

TaskBody = Coroutine[Any, Any, None]


class KeyedTasks(Generic[K]):
    """At most one task for each key. A task that ends is forgotten.

    Args:
        on_failure: called with the key and the exception of a task that failed; without it, the
            failure is logged with its traceback.
        may_end: whether a task may end by itself; if not, its end is a failure.
    """

    def __init__(
        self,
        on_failure: Callable[[K, BaseException], None] | None = None,
        *,
        may_end: bool = True,
    ) -> None:
        self._on_failure = on_failure
        self._may_end = may_end
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._cancelled: set[asyncio.Task[None]] = set()

    def __contains__(self, key: object) -> bool:
        return key in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def keys(self) -> set[K]:
        """Return the keys of the tasks that run."""
        return set(self._tasks)

    def start(self, key: K, body: TaskBody, *, name: str) -> asyncio.Task[None]:
        """Start the task of a key, which must not have one."""
        if key in self._tasks:
            body.close()
            raise RuntimeError(f"there is a task for {key!r} already")
        task = asyncio.create_task(body, name=name)
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._on_done(key, done))
        return task

    def cancel(self, key: K) -> asyncio.Task[None] | None:
        """Cancel and forget the task of a key, without waiting; return it, or None."""
        task = self._tasks.pop(key, None)
        if task is not None:
            self._cancelled.add(task)
            task.cancel()
        return task

    async def close(self) -> None:
        """Cancel all tasks, and wait until they and those cancelled before have ended."""
        for key in list(self._tasks):
            self.cancel(key)
        await asyncio.gather(*self._cancelled, return_exceptions=True)

    def _on_done(self, key: K, task: asyncio.Task[None]) -> None:
        self._cancelled.discard(task)
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if task.cancelled():
            return
        error = task.exception()
        if error is None and not self._may_end:
            error = RuntimeError("the task ended")
        if error is None:
            return
        if self._on_failure is not None:
            self._on_failure(key, error)
        else:
            logger.error("task failed name=%s", task.get_name(), exc_info=error)


async def run_until_first_failure(*bodies: TaskBody) -> None:
    """Run several coroutines at once; if one fails, cancel the others and raise its exception.

    Cancelling is safe: all of them are cancelled.
    """
    tasks = [asyncio.create_task(body) for body in bodies]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await cancel_and_wait(tasks)
    raise_first_error(tasks)


async def cancel_and_wait(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended. Their exceptions are dropped."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)


def raise_first_error(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Raise the exception of the first task that has failed, if there is one.

    The exceptions of all tasks are retrieved, so that asyncio does not report them as unheard.
    """
    errors = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    for error in errors:
        if error is not None:
            raise error
