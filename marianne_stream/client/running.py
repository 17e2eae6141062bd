"""Runs what a verb does, and ends quietly: at Ctrl-C, at SIGTERM, and when nobody reads.

It must not know what is run.
"""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Coroutine
from typing import Any

from marianne_stream.errors import TerminalError

# 128 and the number of the signal, as a shell says it.
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
NOBODY_READS = 128 + signal.SIGPIPE


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
        raise TerminalError(f"the output cannot be written: {error.strerror}") from error


async def until_left(main: Coroutine[Any, Any, int]) -> int:
    """Runs a coroutine until it ends, SIGTERM comes, or the reader of standard output has gone."""
    loop = asyncio.get_running_loop()
    working = asyncio.ensure_future(main)
    ended_by: list[int] = []

    def leave(code: int) -> None:
        ended_by.append(code)
        working.cancel()

    loop.add_signal_handler(signal.SIGTERM, leave, TERMINATED)
    output = sys.stdout.fileno()
    if stat.S_ISFIFO(os.fstat(output).st_mode):
        # A pipe's end for writing becomes readable when its other end is closed (poll(2), POLLERR).
        def nobody_reads() -> None:
            loop.remove_reader(output)
            forget_output()
            leave(NOBODY_READS)

        loop.add_reader(output, nobody_reads)
    try:
        return await working
    except asyncio.CancelledError:
        if ended_by:
            return ended_by[0]
        raise


def forget_output() -> None:
    """Puts nothing in the place of standard output: Python writes to it once more at its end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
