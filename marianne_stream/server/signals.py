"""Signal handlers of the server process."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

# Time after the second signal in which clients still receive data, in seconds.
FORCE_GRACE_S = 0.2


class SignalHandlers:
    """Events for the signals of the process.

    Args:
        abort: ends all connections at once; called shortly after the second SIGTERM or SIGINT.

    Attributes:
        stop_requested: set by the first SIGTERM or SIGINT.
        force_requested: set by the second one.
        reload_requested: set by SIGHUP.
        reason: first cause of the stop, for the log.
    """

    def __init__(self, abort: Callable[[], None]) -> None:
        self._abort = abort
        self.stop_requested = asyncio.Event()
        self.force_requested = asyncio.Event()
        self.reload_requested = asyncio.Event()
        self.reason = ""

    @contextmanager
    def install(self) -> Iterator["SignalHandlers"]:
        """Handle signals inside the context.

        After a stop was requested, later signals are ignored: a repeated signal must not interrupt
        the rest of the shutdown.
        """
        loop = asyncio.get_running_loop()
        actions: Mapping[int, Callable[[], None]] = {
            signal.SIGTERM: partial(self._request_stop, "SIGTERM"),
            signal.SIGINT: partial(self._request_stop, "SIGINT"),
            signal.SIGHUP: self.reload_requested.set,
        }
        for number, action in actions.items():
            loop.add_signal_handler(number, action)
        try:
            yield self
        finally:
            if self.stop_requested.is_set():
                ignore_signals(actions)
            else:
                for number in actions:
                    loop.remove_signal_handler(number)

    @contextmanager
    def stop_when_pipe_closes(self, descriptor: int) -> Iterator[None]:
        """Request a stop when the other end of a pipe closes: the parent process has died."""
        loop = asyncio.get_running_loop()

        def on_readable() -> None:
            if not os.read(descriptor, 1):
                loop.remove_reader(descriptor)
                self._request_stop("parent_gone")

        loop.add_reader(descriptor, on_readable)
        try:
            yield
        finally:
            loop.remove_reader(descriptor)

    def _request_stop(self, reason: str) -> None:
        self.reason = self.reason or reason
        if self.stop_requested.is_set():
            self.force_requested.set()
            # Any later step of the shutdown might wait for a client that does not read.
            asyncio.get_running_loop().call_later(FORCE_GRACE_S, self._abort)
        self.stop_requested.set()


def ignore_signals(signal_numbers: Iterable[int]) -> None:
    """Ignore signals that the running loop has handled until now.

    Blocks them meanwhile: asyncio first restores the default action, which ends the process.
    """
    loop = asyncio.get_running_loop()
    signal_numbers = frozenset(signal_numbers)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal_numbers)
    for number in signal_numbers:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal_numbers)
