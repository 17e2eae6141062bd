"""Thread for blocking calls that may hang."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
CallQueue = SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]


class DaemonThread:
    """Runs blocking calls one at a time, in order.

    A call that hangs does not keep the process from ending: a ThreadPoolExecutor would be joined at
    exit.

    Args:
        name: name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._calls: CallQueue = SimpleQueue()
        threading.Thread(target=run_calls, args=(self._calls,), name=name, daemon=True).start()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Return the future of a call. One that is cancelled before it runs is left out."""
        future: Future[T] = Future()
        self._calls.put((future, call))
        return future

    def close(self) -> None:
        """Let the thread end after the calls before."""
        self._calls.put(None)


def run_calls(calls: CallQueue) -> None:
    """Run calls until None comes."""
    while (item := calls.get()) is not None:
        future, call = item
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - passed to the caller
                future.set_exception(error)
        # A waiting thread must not keep a result alive.
        del item, future, call
