"""Runs a client command until it ends, a signal arrives, or standard output is closed."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Self

from marianne_stream.client.cli_errors import CliError
from marianne_stream.common.process_exit import EXIT_SIGINT, EXIT_SIGTERM, detach_stdout

EXIT_BY_SIGNAL: dict[int, int] = {signal.SIGINT: EXIT_SIGINT, signal.SIGTERM: EXIT_SIGTERM}

# Time that a blocking write may take after a stop was requested, in seconds.
LOOP_STALL_TIMEOUT_S = 1.0


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine in a new event loop, and return its exit code, or that of the signal.

    Raises:
        BrokenPipeError: the reader of the output is gone.
        CliError: the output cannot be written, as on a full disk.
        MarianneStreamError: raised by the coroutine.
    """
    # Characters that the terminal's encoding lacks are shown as escapes.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return asyncio.run(run_until_stopped(main))
    except KeyboardInterrupt:
        return EXIT_SIGINT
    except BrokenPipeError:
        raise
    except OSError as error:
        # Network errors were converted by the client: this one is of the output.
        detach_stdout()
        raise CliError(f"the output cannot be written: {error.strerror}") from error


async def run_until_stopped(main: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine until it ends or a signal arrives."""
    task = asyncio.ensure_future(main)
    with StopOnSignal(task) as stopper:
        try:
            return await task
        except asyncio.CancelledError:
            if stopper.exit_code is not None:
                return stopper.exit_code
            raise


class StopOnSignal:
    """Context manager that cancels a task at SIGINT or SIGTERM.

    A blocking write to a slow reader also blocks the event loop. If the loop does not run after a
    signal, the process exits without it.
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

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signature
        self.exit_code = EXIT_BY_SIGNAL[number] if self.exit_code is None else self.exit_code
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._probe_loop()
        signal.setitimer(signal.ITIMER_REAL, LOOP_STALL_TIMEOUT_S, LOOP_STALL_TIMEOUT_S)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signature
        if not self._is_loop_running and self.exit_code is not None:
            # The pending write would block for ever.
            os._exit(self.exit_code)
        self._probe_loop()

    def _probe_loop(self) -> None:
        self._is_loop_running = False
        self._loop.call_soon_threadsafe(self._on_probe)

    def _on_probe(self) -> None:
        self._is_loop_running = True
