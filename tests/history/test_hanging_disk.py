"""The history on a file system that does not answer."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from marianne_stream.errors import HistoryUnavailableError
from marianne_stream.history import database_thread, history_reader, queries
from marianne_stream.history.store import HistoryStore

# A read and a write that hang when the server stops.
HANGING_CALLS = """
import asyncio, sys, threading
from pathlib import Path
from marianne_stream.history import database_thread, writes
from marianne_stream.history.records import WriteBatch
from marianne_stream.history.store import HistoryStore

async def main():
    store = HistoryStore(Path(sys.argv[1]), max_age_s=3600, max_bytes=10**7)
    await store.open()
    writes.write_batch = lambda *_: threading.Event().wait()
    read = asyncio.create_task(store.read(lambda _: threading.Event().wait()))
    write = asyncio.create_task(store.write(WriteBatch(), "e" * 16))
    while threading.active_count() < 3:
        await asyncio.sleep(0.01)
    database_thread.CLOSE_TIMEOUT_S = 0.1
    await store.close()
    for task in (read, write):
        task.cancel()
    await asyncio.wait([read, write])

asyncio.run(main())
"""


def test_hanging_calls_do_not_keep_the_process_from_ending(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGING_CALLS, tmp_path / "history.db"],
        timeout=20,
        check=True,
        capture_output=True,
        text=True,
    )
    assert ended.stdout == ""
    assert ended.stderr.count("history not closed path=") == 2
    assert len(ended.stderr.splitlines()) == 2


async def test_read_that_hangs_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = HistoryStore(tmp_path / "history.db", max_age_s=3600, max_bytes=10**7)
    await store.open()
    released = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(history_reader, "READ_TIMEOUT_S", 0.1)
        for query in (lambda _: released.wait(), queries.select_open_jobs):
            with pytest.raises(HistoryUnavailableError, match=r"no answer within 0\.1 s"):
                await store.read(query)
    reads = [asyncio.create_task(store.read(queries.select_open_jobs)) for _ in range(2)]
    released.set()
    assert await asyncio.gather(*reads) == [[], []]
    await store.close()


async def test_close_waits_for_calls_that_end(tmp_path: Path) -> None:
    thread = database_thread.DatabaseThread("history-test", tmp_path / "h.db", read_only=False)
    released = threading.Event()
    call = asyncio.create_task(thread.run(lambda _: released.wait()))
    await asyncio.sleep(0)
    closing = asyncio.create_task(thread.close())
    await asyncio.sleep(0)
    assert not closing.done()
    released.set()
    await closing
    assert await call
