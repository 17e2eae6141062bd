"""Tasks that run together: the first that fails ends all of them.

It must not know what they do.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

TaskBody = Coroutine[Any, Any, None]


async def run_until_first_failure(*works: TaskBody) -> None:
    """Does some things at once until one fails, and raises what that failed with.

    Cancelling is safe: all of them are.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await cancel_and_wait(tasks)
    raise_first_error(tasks)


async def cancel_and_wait(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancels tasks, and returns when they have ended; what they fail with is not told any more."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)


def raise_first_error(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Raises what the first of some tasks that have ended failed with, where one did.

    All of them are asked, so that no failure is reported as one that nobody heard of.
    """
    errors = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    for error in errors:
        if error is not None:
            raise error


class KeyedTasks:
    """A task for each of some names, which come and go.

    Args:
        make_body: what is done for a name, until it is not wanted any more.
    """

    def __init__(self, make_body: Callable[[str], TaskBody]) -> None:
        self._make_body = make_body
        self._keys: set[str] = set()
        self._keys_changed = asyncio.Event()

    def set_keys(self, keys: set[str]) -> None:
        """Has something done for these names, and for no others, while `run` goes on."""
        self._keys = keys
        self._keys_changed.set()

    async def run(self) -> None:
        """Ends when one task fails, and raises what that failed with; until then, when cancelled.

        However it ends, so do all tasks.
        """
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                self._keys_changed.clear()
                await cancel_and_wait([tasks.pop(name) for name in tasks.keys() - self._keys])
                for name in self._keys - tasks.keys():
                    tasks[name] = asyncio.create_task(
                        self._make_body(name), name=f"relay of {name!r}"
                    )
                await self._wait_for_change(tasks.values())
                raise_first_error(tasks.values())
        finally:
            await cancel_and_wait(tasks.values())

    async def _wait_for_change(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Waits until other names are wanted, or a task ends."""
        waiting = asyncio.create_task(self._keys_changed.wait())
        going_on = {task for task in tasks if not task.done()}
        try:
            await asyncio.wait({waiting, *going_on}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
