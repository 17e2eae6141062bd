"""Tests of the thread for the blocking reads of a backend."""

import asyncio
import subprocess
import sys
import threading

import pytest

from marianne_stream.backends import reader_thread
from marianne_stream.backends.reader_thread import ReaderThread
from marianne_stream.errors import StateUnreadableError

# A read that hangs, as on a network file system whose server is gone.
HANGING_READ = """
import asyncio, threading
from marianne_stream.backends.reader_thread import ReaderThread

async def main():
    thread = ReaderThread("states", "the states", queue_timeout_s=10)
    read = asyncio.create_task(thread.run(lambda _: threading.Event().wait()))
    while threading.active_count() == 1:
        await asyncio.sleep(0.01)
    read.cancel()
    await asyncio.wait([read])
    thread.close()

asyncio.run(main())
"""


def test_hanging_read_does_not_keep_the_process_from_ending() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGING_READ], timeout=20, check=True, capture_output=True
    )
    assert (ended.stdout, ended.stderr) == (b"", b"")


async def test_timeout_error_names_the_subject_and_the_limit_that_was_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    thread = ReaderThread("states", "the states in /srv", queue_timeout_s=0.2)
    hanging = asyncio.create_task(thread.run(lambda _: released.wait(10)))
    await asyncio.sleep(0)
    with pytest.raises(
        StateUnreadableError, match=r"^the states in /srv cannot be read: no answer within 0\.2 s"
    ):
        await thread.run(lambda _: None)
    monkeypatch.setattr(reader_thread, "READ_TIMEOUT_S", 0.1)
    with pytest.raises(StateUnreadableError, match=r"within 0\.2 s"):
        await hanging
    with pytest.raises(StateUnreadableError, match=r"within 0\.1 s"):
        await thread.run(lambda _: None)
    released.set()
    thread.close()


async def test_read_after_close_starts_another_thread() -> None:
    thread = ReaderThread("states", "the states", queue_timeout_s=10)
    first = await thread.run(lambda _: threading.current_thread())
    thread.close()
    assert await thread.run(lambda _: threading.current_thread()) is not first
    thread.close()
