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

from marianne_stream.errors import LeavingError
from marianne_stream.logs.bounds import Bound, StoppedError, within

T = TypeVar("T")


class Call:
    """A call that waits for a thread, or runs in one.

    Attributes:
        job_id: the job whose share of the threads it takes.
        work: what is called.
        result: the future that its caller waits for.
        bound: the bound of what it reads.
    """

    __slots__ = ("bound", "job_id", "result", "work")

    def __init__(self, job_id: str, work: Callable[[], Any]) -> None:
        self.job_id = job_id
        self.work = work
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.bound = Bound()


class FairPool:
    """Runs calls in threads. Jobs take turns, and none has more than its share of the threads.

    Args:
        name: what the threads are called.
        threads: how many there are at most; they are started as they are needed.
        per_job: how many of them calls of one job may take at once.
    """

    def __init__(self, name: str, *, threads: int, per_job: int) -> None:
        self._name = name
        self._most = threads
        self._per_job = per_job
        self._threads: list[threading.Thread] = []
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        # Calls that wait, by job; the job whose turn is next comes first.
        self._waiting: OrderedDict[str, deque[Call]] = OrderedDict()
        self._running: dict[Call, None] = {}
        self._shares: Counter[str] = Counter()
        self._closed = False

    async def run(self, job_id: str, work: Callable[[], T]) -> T:
        """Runs a call in a thread, once it is the job's turn. Safe to cancel: the call is stopped.

        Raises:
            LeavingError: the pool was closed.
            ReadLimitError: the call has read more than it may.
        """
        if self._closed:
            raise LeavingError
        call = Call(job_id, work)
        self._waiting.setdefault(job_id, deque()).append(call)
        self._dispatch()
        try:
            result: T = await call.result
            return result
        finally:
            call.bound.stop()

    def close(self) -> None:
        """Stops what runs, refuses what waits, and lets the threads end."""
        self._closed = True
        for calls in self._waiting.values():
            for call in calls:
                if not call.result.done():
                    call.result.set_exception(LeavingError())
        self._waiting.clear()
        for call in self._running:
            call.bound.stop()
        for _ in self._threads:
            self._calls.put(None)

    def _dispatch(self) -> None:
        """Gives free threads what waits."""
        while len(self._running) < self._most and (call := self._next()) is not None:
            self._running[call] = None
            self._shares[call.job_id] += 1
            if len(self._threads) < len(self._running):
                self._start_thread()
            self._calls.put(call)

    def _next(self) -> Call | None:
        """The oldest call of the job whose turn it is, leaving out those that were cancelled."""
        for job_id in list(self._waiting):
            calls = self._waiting[job_id]
            while calls and calls[0].result.done():
                calls.popleft()
            if not calls:
                del self._waiting[job_id]
            elif self._shares[job_id] < self._per_job:
                self._waiting.move_to_end(job_id)
                return calls.popleft()
        return None

    def _start_thread(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        """Makes calls, in a thread, until it is told to end."""
        while (call := self._calls.get()) is not None:
            ended = partial(self._on_end, call, *outcome_of(call))
            # The loop is closed where the process ends: nobody waits any more.
            with suppress(RuntimeError):
                call.result.get_loop().call_soon_threadsafe(ended)
            # While the thread waits it holds on to no file.
            del call, ended

    def _on_end(self, call: Call, value: object, error: BaseException | None) -> None:
        del self._running[call]
        self._shares[call.job_id] -= 1
        if not self._shares[call.job_id]:
            del self._shares[call.job_id]
        if not call.result.done():
            if error is None:
                call.result.set_result(value)
            else:
                # Only the end of the pool stops a call that is waited for.
                call.result.set_exception(
                    LeavingError() if isinstance(error, StoppedError) else error
                )
        if not self._closed:
            self._dispatch()


def outcome_of(call: Call) -> tuple[object, BaseException | None]:
    """What a call returns, and what it raises."""
    try:
        with within(call.bound):
            return call.work(), None
    except BaseException as error:  # noqa: BLE001 - the caller is told
        return None, error
