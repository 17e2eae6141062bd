"""Runs what a verb does, and ends quietly: at Ctrl-C, at SIGTERM, and when nobody reads.

It must not know what is run.
"""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from marianne_stream.errors import CliError

# 128 and the number of the signal, as a shell says it.
EXIT_SIGINT = 128 + signal.SIGINT
EXIT_SIGTERM = 128 + signal.SIGTERM
EXIT_SIGPIPE = 128 + signal.SIGPIPE

EXIT_BY_SIGNAL: dict[int, int] = {signal.SIGINT: EXIT_SIGINT, signal.SIGTERM: EXIT_SIGTERM}

# How long the loop may stand still, once the program is asked to end: so long a write may take.
LOOP_STALL_TIMEOUT_S = 1.0


def run(main: Coroutine[Any, Any, int]) -> int:
    """Runs a coroutine in a loop of its own, and returns its exit code, or that of what ended it.

    Standard output is not to be written to afterwards.

    Raises:
        TerminalError: the output cannot be written, as on a full disk.
        MarianneStreamError: what the coroutine raises.
    """
    # A character that the terminal's encoding lacks is shown by its number.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return asyncio.run(run_until_stopped(main))
    except KeyboardInterrupt:
        return EXIT_SIGINT
    except BrokenPipeError:
        detach_stdout()
        return EXIT_SIGPIPE
    except OSError as error:
        # The network's own are answers of the server to the rest of the program.
        detach_stdout()
        raise CliError(f"the output cannot be written: {error.strerror}") from error


async def run_until_stopped(main: Coroutine[Any, Any, int]) -> int:
    """Runs a coroutine until it ends, a signal comes, or the reader of standard output has gone."""
    working = asyncio.ensure_future(main)
    with StopOnSignal(working) as leaving, stop_on_broken_pipe(leaving):
        try:
            return await working
        except asyncio.CancelledError:
            if leaving.exit_code is not None:
                return leaving.exit_code
            raise


class StopOnSignal:
    """Ends a program that is asked to; a context that listens for it.

    A write waits for its reader, and with it the loop: a signal is taken when it comes, and when
    the loop does not turn any more, the program ends without it.

    Args:
        task: what is cancelled.

    Attributes:
        exit_code: what to exit with; None while the program is not asked to end.
    """

    def __init__(self, task: asyncio.Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = task
        self._is_loop_running = False
        self._previous_handlers: dict[int, Any] = {}
        self.exit_code: int | None = None

    def __enter__(self) -> Self:
        for number in EXIT_BY_SIGNAL:
            self._previous_handlers[number] = signal.signal(number, self._on_stop_signal)
        self._previous_handlers[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_alarm)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def stop(self, exit_code: int) -> None:
        """Ends what is running; the first reason counts."""
        self.exit_code = exit_code if self.exit_code is None else self.exit_code
        self._task.cancel()

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's form
        self.exit_code = EXIT_BY_SIGNAL[number] if self.exit_code is None else self.exit_code
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._probe_loop()
        signal.setitimer(signal.ITIMER_REAL, LOOP_STALL_TIMEOUT_S, LOOP_STALL_TIMEOUT_S)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's form
        if not self._is_loop_running and self.exit_code is not None:
            # What it would still write, nobody would read.
            os._exit(self.exit_code)
        self._probe_loop()

    def _probe_loop(self) -> None:
        self._is_loop_running = False
        self._loop.call_soon_threadsafe(self._on_probe)

    def _on_probe(self) -> None:
        self._is_loop_running = True


@contextmanager
def stop_on_broken_pipe(stopper: StopOnSignal) -> Iterator[None]:
    """Has a program leave with the reader of its standard output, where that is a pipe."""
    loop, output = asyncio.get_running_loop(), sys.stdout.fileno()
    if not stat.S_ISFIFO(os.fstat(output).st_mode):
        yield
        return

    # A pipe's end for writing becomes readable when its other end is closed (poll(2), POLLERR).
    def nobody_reads() -> None:
        loop.remove_reader(output)
        detach_stdout()
        stopper.stop(EXIT_SIGPIPE)

    loop.add_reader(output, nobody_reads)
    try:
        yield
    finally:
        loop.remove_reader(output)


def detach_stdout() -> None:
    """Puts nothing in the place of standard output: Python writes to it once more at its end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
