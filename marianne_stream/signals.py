"""Signals at the end of a process, after it was asked to end."""

import asyncio
import signal
from collections.abc import Iterable


def ignore_from_now_on(numbers: Iterable[int]) -> None:
    """Ignore signals that the running loop has handled until now.

    They are blocked meanwhile: asyncio restores the default action first, which ends the process.
    """
    loop = asyncio.get_running_loop()
    numbers = frozenset(numbers)
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    for number in numbers:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
