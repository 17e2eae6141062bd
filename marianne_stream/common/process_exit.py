"""Exit codes of a process that a signal ends, and the end of its output."""

import os
import signal
import sys

# 128 + the number of the signal, as shells report it.
EXIT_SIGINT = 128 + signal.SIGINT
EXIT_SIGTERM = 128 + signal.SIGTERM
EXIT_SIGPIPE = 128 + signal.SIGPIPE


def detach_stdout() -> None:
    """Redirect standard output to /dev/null: Python flushes it once more at exit."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
