"""Tests of the line index: correct for any lines, with memory bounded by a block."""

import asyncio
import gzip
import resource
from pathlib import Path

import pytest

from marianne_stream.logs.filters import JobFilter
from marianne_stream.logs.line_index import LineIndexCache
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.logs.safe_open import LogPath
from marianne_stream.wire.log_lines import LogLineSplitter

MIB = 1024 * 1024


@pytest.fixture
def log(tmp_path: Path) -> LogHandle:
    """Provide a log that does not exist yet."""
    log_path = LogPath(str(tmp_path), "marianne.log")
    return LogHandle(
        log_path, job_filter=None, index_cache=LineIndexCache(), threads=LogThreads().for_job("a")
    )


async def test_index_of_line_of_100_mib_keeps_memory_bounded(
    log: LogHandle, tmp_path: Path
) -> None:
    path = tmp_path / "marianne.log"
    with path.open("wb") as file:
        file.write(b"one\n")
        for _ in range(100):
            file.write(b"x" * MIB)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (await log.find_end()).offset == 4
    with path.open("ab") as file:
        file.write(b"\nthree\nfour\n")
    end = await log.find_end()
    assert (end.number, end.offset) == (4, path.stat().st_size)
    assert (await log.find_tail_start(end, 1)).number == 3
    assert (await log.find_tail_start(end, 3)).offset == 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 30 * 1024


async def test_index_after_cancelled_count_is_correct(log: LogHandle, tmp_path: Path) -> None:
    (tmp_path / "marianne.log").write_bytes(b"a line\n" * 3_000_000)
    for delay_s in (0.0, 0.001, 0.003, 0.005):
        task = asyncio.create_task(log.find_end())
        await asyncio.sleep(delay_s)
        task.cancel()
    assert (await log.find_end()).number == 3_000_000


async def test_find_position_in_damaged_file_before_damage_succeeds(
    log: LogHandle, tmp_path: Path
) -> None:
    path = tmp_path / "marianne.log"
    path.write_bytes(b"".join(b"%d old\n" % n for n in range(200_000)))
    position = await log.find_tail_start(await log.find_end(), 199_900)
    cursor = position.make_cursor()
    damaged = gzip.compress(path.read_bytes())[:-1000]
    path.rename(tmp_path / "gone")
    (tmp_path / "marianne.log.1.gz").write_bytes(damaged)
    path.write_bytes(b"new\n")
    found = await log.find_position(cursor)
    assert found is not None
    assert (found.offset, found.number) == (position.offset, 100)


def test_job_filter_of_long_line_equals_splitter() -> None:
    job_filter = JobFilter("a")
    line = b'{"job_id": "a", "event": "' + b"x" * 100_000 + b'"}\n'
    splitter = LogLineSplitter(offset=0, number=0, window=b"", predicate=job_filter.matches)
    assert len(splitter.feed(line)) == len(job_filter.find_matches(line))


async def test_index_after_partial_line_was_truncated_counts_new_lines(
    log: LogHandle, tmp_path: Path
) -> None:
    path = tmp_path / "marianne.log"
    path.write_bytes(b"50%\r" * (512 * 1024))
    assert (await log.find_end()).number == 0
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(b"a line\n" * 1000)
    assert (await log.find_end()).number == 1000
    with path.open("ab") as file:
        file.write(b"a line\n" * 400_000)
    assert (await log.find_end()).number == 401_000
