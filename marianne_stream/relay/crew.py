"""Tasks that run together: the first that fails ends all of them.

It must not know what they do.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

Work = Coroutine[Any, Any, None]


async def together(*works: Work) -> None:
    """Does some things at once until one fails, and raises what that failed with.

    Cancelling is safe: all of them are.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await ended(tasks)
    raise_first(tasks)


async def ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancels tasks, and returns when they have ended; what they fail with is not told any more."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)


def raise_first(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Raises what the first of some tasks that have ended failed with, where one did.

    All of them are asked, so that no failure is reported as one that nobody heard of.
    """
    errors = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    for error in errors:
        if error is not None:
            raise error


class Crew:
    """A task for each of some names, which come and go.

    Args:
        work: what is done for a name, until it is not wanted any more.
    """

    def __init__(self, work: Callable[[str], Work]) -> None:
        self._work = work
        self._wanted: set[str] = set()
        self._changed = asyncio.Event()

    def want(self, names: set[str]) -> None:
        """Has something done for these names, and for no others, while `run` goes on."""
        self._wanted = names
        self._changed.set()

    async def run(self) -> None:
        """Ends when one task fails, and raises what that failed with; until then, when cancelled.

        However it ends, so do all tasks.
        """
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                self._changed.clear()
                await ended([tasks.pop(name) for name in tasks.keys() - self._wanted])
                for name in self._wanted - tasks.keys():
                    tasks[name] = asyncio.create_task(self._work(name), name=f"relay of {name!r}")
                await self._change_or_end(tasks.values())
                raise_first(tasks.values())
        finally:
            await ended(tasks.values())

    async def _change_or_end(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Waits until other names are wanted, or a task ends."""
        waiting = asyncio.create_task(self._changed.wait())
        going_on = {task for task in tasks if not task.done()}
        try:
            await asyncio.wait({waiting, *going_on}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
