"""Tests of the signal handlers."""

import asyncio
import signal
import threading

from marianne_stream.server.signals import SignalHandlers


async def test_signal_that_another_thread_gets_wakes_an_idle_loop() -> None:
    handlers = SignalHandlers(lambda: None)
    with handlers.install():
        thread = threading.Timer(0.1, signal.raise_signal, (signal.SIGHUP,))
        thread.start()
        # If the signal does not wake the loop, the limit does, and comes first.
        async with asyncio.timeout(3):
            await handlers.reload_requested.wait()
        thread.join()


async def test_handlers_are_restored_without_a_stop() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with SignalHandlers(lambda: None).install():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
