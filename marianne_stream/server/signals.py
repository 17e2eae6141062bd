"""Signals at the end of a process, after it was asked to end."""

import asyncio
import signal
from collections.abc import Iterable


def ignore_signals(signal_numbers: Iterable[int]) -> None:
    """Ignore signals that the running loop has handled until now.

    They are blocked meanwhile: asyncio restores the default action first, which ends the process.
    """
    loop = asyncio.get_running_loop()
    signal_numbers = frozenset(signal_numbers)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal_numbers)
    for number in signal_numbers:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal_numbers)
