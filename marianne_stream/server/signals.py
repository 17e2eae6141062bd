"""Signal handlers of the server process."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FrameType

# Time after the second signal in which clients still receive data, in seconds.
FORCE_GRACE_S = 0.2

# Handler of a signal, as `signal.signal` takes and returns it.
SignalHandler = Callable[[int, FrameType | None], object] | int | None


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
        actions: Mapping[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: partial(self._request_stop, "SIGTERM"),
            signal.SIGINT: partial(self._request_stop, "SIGINT"),
            signal.SIGHUP: self.reload_requested.set,
        }
        previous_handlers = handle_signals(actions)
        try:
            yield self
        finally:
            if self.stop_requested.is_set():
                ignore_signals(actions)
            else:
                for number, handler in previous_handlers.items():
                    signal.signal(number, handler)

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


def handle_signals(
    actions: Mapping[signal.Signals, Callable[[], None]],
) -> Mapping[signal.Signals, SignalHandler]:
    """Let the running loop call an action for each signal; return the handlers until now.

    Handlers of asyncio would not do: to remove one, asyncio restores the default action of the
    signal for a moment, in which a repeated signal ends the process.
    """
    loop = asyncio.get_running_loop()
    # One handler of asyncio lets every signal wake the loop, also one that another thread got. This
    # signal does nothing by default: asyncio may restore that at any time.
    loop.add_signal_handler(signal.SIGURG, lambda: None)

    def call_in_loop(number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(actions[signal.Signals(number)])

    return {number: signal.signal(number, call_in_loop) for number in actions}


def ignore_signals(signal_numbers: Iterable[signal.Signals]) -> None:
    """Ignore signals that were handled until now.

    Python writes a message if a signal came in before it was ignored, but would be handled after
    that. So a handler that does nothing comes first, and this thread gets no signal meanwhile.
    """
    signal_numbers = frozenset(signal_numbers)
    for number in signal_numbers:
        signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal_numbers)
    for number in signal_numbers:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal_numbers)
