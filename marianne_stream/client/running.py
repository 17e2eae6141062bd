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
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
NOBODY_READS = 128 + signal.SIGPIPE

ENDED_BY: dict[int, int] = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}

# How long the loop may stand still, once the program is asked to end: so long a write may take.
STUCK_S = 1.0


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
        return asyncio.run(until_left(main))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        forget_output()
        return NOBODY_READS
    except OSError as error:
        # The network's own are answers of the server to the rest of the program.
        forget_output()
        raise CliError(f"the output cannot be written: {error.strerror}") from error


async def until_left(main: Coroutine[Any, Any, int]) -> int:
    """Runs a coroutine until it ends, a signal comes, or the reader of standard output has gone."""
    working = asyncio.ensure_future(main)
    with Leaving(working) as leaving, told_when_nobody_reads(leaving):
        try:
            return await working
        except asyncio.CancelledError:
            if leaving.code is not None:
                return leaving.code
            raise


class Leaving:
    """Ends a program that is asked to; a context that listens for it.

    A write waits for its reader, and with it the loop: a signal is taken when it comes, and when
    the loop does not turn any more, the program ends without it.

    Args:
        working: what is cancelled.

    Attributes:
        code: what to exit with; None while the program is not asked to end.
    """

    def __init__(self, working: asyncio.Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._working = working
        self._turns = False
        self._before: dict[int, Any] = {}
        self.code: int | None = None

    def __enter__(self) -> Self:
        for number in ENDED_BY:
            self._before[number] = signal.signal(number, self._asked)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._look)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def leave(self, code: int) -> None:
        """Ends what is running; the first reason counts."""
        self.code = code if self.code is None else self.code
        self._working.cancel()

    def _asked(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's form
        self.code = ENDED_BY[number] if self.code is None else self.code
        self._loop.call_soon_threadsafe(self._working.cancel)
        self._expect_turn()
        signal.setitimer(signal.ITIMER_REAL, STUCK_S, STUCK_S)

    def _look(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's form
        if not self._turns and self.code is not None:
            # What it would still write, nobody would read.
            os._exit(self.code)
        self._expect_turn()

    def _expect_turn(self) -> None:
        self._turns = False
        self._loop.call_soon_threadsafe(self._turned)

    def _turned(self) -> None:
        self._turns = True


@contextmanager
def told_when_nobody_reads(leaving: Leaving) -> Iterator[None]:
    """Has a program leave with the reader of its standard output, where that is a pipe."""
    loop, output = asyncio.get_running_loop(), sys.stdout.fileno()
    if not stat.S_ISFIFO(os.fstat(output).st_mode):
        yield
        return

    # A pipe's end for writing becomes readable when its other end is closed (poll(2), POLLERR).
    def nobody_reads() -> None:
        loop.remove_reader(output)
        forget_output()
        leaving.leave(NOBODY_READS)

    loop.add_reader(output, nobody_reads)
    try:
        yield
    finally:
        loop.remove_reader(output)


def forget_output() -> None:
    """Puts nothing in the place of standard output: Python writes to it once more at its end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
