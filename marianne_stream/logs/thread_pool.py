"""A pool of threads that jobs share fairly.

The threads are daemons: one that hangs in a read of a file system that does not answer does not
keep the process from ending, where a ThreadPoolExecutor would be waited for at exit.
"""

import asyncio
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from marianne_stream.errors import ShuttingDownError
from marianne_stream.logs.read_budget import CallCancelledError, ReadBudget, use_budget

T = TypeVar("T")


class WorkItem:
    """A call that waits for a thread, or runs in one.

    Attributes:
        job_id: the job whose share of the threads it takes.
        work: what is called.
        future: the future that its caller waits for.
        budget: the bound of what it reads.
    """

    __slots__ = ("budget", "future", "job_id", "work")

    def __init__(self, job_id: str, work: Callable[[], Any]) -> None:
        self.job_id = job_id
        self.work = work
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.budget = ReadBudget()


class FairThreadPool:
    """Runs calls in threads. Jobs take turns, and none has more than its share of the threads.

    Args:
        name: what the threads are called.
        max_threads: how many there are at most; they are started as they are needed.
        max_per_job: how many of them calls of one job may take at once.
    """

    def __init__(self, name: str, *, max_threads: int, max_per_job: int) -> None:
        self._name = name
        self._max_threads = max_threads
        self._max_per_job = max_per_job
        self._threads: list[threading.Thread] = []
        self._dispatched: SimpleQueue[WorkItem | None] = SimpleQueue()
        # Calls that wait, by job; the job whose turn is next comes first.
        self._waiting: OrderedDict[str, deque[WorkItem]] = OrderedDict()
        self._running_items: dict[WorkItem, None] = {}
        self._running_by_job: Counter[str] = Counter()
        self._closed = False

    async def run(self, job_id: str, work: Callable[[], T]) -> T:
        """Runs a call in a thread, once it is the job's turn. Safe to cancel: the call is stopped.

        Raises:
            LeavingError: the pool was closed.
            ReadLimitError: the call has read more than it may.
        """
        if self._closed:
            raise ShuttingDownError
        call = WorkItem(job_id, work)
        self._waiting.setdefault(job_id, deque()).append(call)
        self._dispatch()
        try:
            result: T = await call.future
            return result
        finally:
            call.budget.cancel()

    def close(self) -> None:
        """Stops what runs, refuses what waits, and lets the threads end."""
        self._closed = True
        for calls in self._waiting.values():
            for call in calls:
                if not call.future.done():
                    call.future.set_exception(ShuttingDownError())
        self._waiting.clear()
        for call in self._running_items:
            call.budget.cancel()
        for _ in self._threads:
            self._dispatched.put(None)

    def _dispatch(self) -> None:
        """Gives free threads what waits."""
        while (
            len(self._running_items) < self._max_threads and (call := self._take_next()) is not None
        ):
            self._running_items[call] = None
            self._running_by_job[call.job_id] += 1
            if len(self._threads) < len(self._running_items):
                self._start_thread()
            self._dispatched.put(call)

    def _take_next(self) -> WorkItem | None:
        """The oldest call of the job whose turn it is, leaving out those that were cancelled."""
        for job_id in list(self._waiting):
            calls = self._waiting[job_id]
            while calls and calls[0].future.done():
                calls.popleft()
            if not calls:
                del self._waiting[job_id]
            elif self._running_by_job[job_id] < self._max_per_job:
                self._waiting.move_to_end(job_id)
                return calls.popleft()
        return None

    def _start_thread(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._run_worker, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run_worker(self) -> None:
        """Makes calls, in a thread, until it is told to end."""
        while (call := self._dispatched.get()) is not None:
            ended = partial(self._on_done, call, *run_item(call))
            # The loop is closed where the process ends: nobody waits any more.
            with suppress(RuntimeError):
                call.future.get_loop().call_soon_threadsafe(ended)
            # While the thread waits it holds on to no file.
            del call, ended

    def _on_done(self, item: WorkItem, value: object, error: BaseException | None) -> None:
        del self._running_items[item]
        self._running_by_job[item.job_id] -= 1
        if not self._running_by_job[item.job_id]:
            del self._running_by_job[item.job_id]
        if not item.future.done():
            if error is None:
                item.future.set_result(value)
            else:
                # Only the end of the pool stops a call that is waited for.
                item.future.set_exception(
                    ShuttingDownError() if isinstance(error, CallCancelledError) else error
                )
        if not self._closed:
            self._dispatch()


def run_item(item: WorkItem) -> tuple[object, BaseException | None]:
    """What a call returns, and what it raises."""
    try:
        with use_budget(item.budget):
            return item.work(), None
    except BaseException as error:  # noqa: BLE001 - the caller is told
        return None, error
