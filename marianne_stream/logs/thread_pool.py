"""Thread pool that jobs share fairly.

The threads are daemons: a thread that hangs in a file system that does not answer does not keep the
process from ending. A ThreadPoolExecutor would be joined at exit.
"""

import asyncio
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from marianne_stream.errors import ShuttingDownError
from marianne_stream.logs.read_budget import CallCancelledError, ReadBudget, use_budget

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class WorkItem:
    """Call that waits for a thread, or runs in one."""

    job_id: str
    work: Callable[[], Any]
    future: asyncio.Future[Any]
    budget: ReadBudget = field(default_factory=ReadBudget)


class FairThreadPool:
    """Runs calls in threads. Jobs take turns, and each has a limited share of the threads.

    Threads are started as needed.
    """

    def __init__(self, name: str, *, max_threads: int, max_per_job: int) -> None:
        self._name = name
        self._max_threads = max_threads
        self._max_per_job = max_per_job
        self._threads: list[threading.Thread] = []
        self._dispatched: SimpleQueue[WorkItem | None] = SimpleQueue()
        # Waiting calls by job; the next job comes first.
        self._waiting: OrderedDict[str, deque[WorkItem]] = OrderedDict()
        self._running_items: dict[WorkItem, None] = {}
        self._running_by_job: Counter[str] = Counter()
        self._closed = False

    async def run(self, job_id: str, work: Callable[[], T]) -> T:
        """Run a call in a thread at the job's turn. Cancelling is safe, and stops the call.

        Raises:
            ShuttingDownError: the pool was closed.
            ReadLimitError: the call has used up its read budget.
        """
        if self._closed:
            raise ShuttingDownError
        item = WorkItem(job_id, work, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(job_id, deque()).append(item)
        self._dispatch()
        try:
            result: T = await item.future
            return result
        finally:
            item.budget.cancel()

    def close(self) -> None:
        """Stop running calls, refuse waiting ones, and let the threads end."""
        self._closed = True
        for items in self._waiting.values():
            for item in items:
                if not item.future.done():
                    item.future.set_exception(ShuttingDownError())
        self._waiting.clear()
        for item in self._running_items:
            item.budget.cancel()
        for _ in self._threads:
            self._dispatched.put(None)

    def _dispatch(self) -> None:
        """Give waiting calls to free threads."""
        while (
            len(self._running_items) < self._max_threads and (item := self._take_next()) is not None
        ):
            self._running_items[item] = None
            self._running_by_job[item.job_id] += 1
            if len(self._threads) < len(self._running_items):
                self._start_thread()
            self._dispatched.put(item)

    def _take_next(self) -> WorkItem | None:
        """Remove and return the oldest call of the next job, skipping cancelled ones; or None."""
        for job_id in list(self._waiting):
            items = self._waiting[job_id]
            while items and items[0].future.done():
                items.popleft()
            if not items:
                del self._waiting[job_id]
            elif self._running_by_job[job_id] < self._max_per_job:
                self._waiting.move_to_end(job_id)
                return items.popleft()
        return None

    def _start_thread(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._run_worker, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run_worker(self) -> None:
        """Run calls in a thread until the pool is closed."""
        while (item := self._dispatched.get()) is not None:
            callback = partial(self._on_done, item, *run_item(item))
            # RuntimeError: the loop was closed at the end of the process.
            with suppress(RuntimeError):
                item.future.get_loop().call_soon_threadsafe(callback)
            # A waiting thread must not keep files open.
            del item, callback

    def _on_done(self, item: WorkItem, value: object, error: BaseException | None) -> None:
        del self._running_items[item]
        self._running_by_job[item.job_id] -= 1
        if not self._running_by_job[item.job_id]:
            del self._running_by_job[item.job_id]
        if not item.future.done():
            if error is None:
                item.future.set_result(value)
            else:
                # A call with a caller is only cancelled by the end of the pool.
                item.future.set_exception(
                    ShuttingDownError() if isinstance(error, CallCancelledError) else error
                )
        if not self._closed:
            self._dispatch()


def run_item(item: WorkItem) -> tuple[object, BaseException | None]:
    """Run a call; return its result and its exception, of which one is None."""
    try:
        with use_budget(item.budget):
            return item.work(), None
    except BaseException as error:  # noqa: BLE001 - passed to the caller
        return None, error
