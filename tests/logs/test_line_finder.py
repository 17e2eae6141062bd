"""Lines by time in large files: what is read for them is bounded."""

import asyncio
import gzip
import os
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event, Semaphore

import pytest

from marianne_stream.errors import CursorExpiredError, ReadLimitError, TooManySearchesError
from marianne_stream.logs import line_finder, log_pager, scans
from marianne_stream.logs.filters import LineFilter, TextFilter
from marianne_stream.logs.line_finder import LineTime, TimeSearch, find_time, parse_time
from marianne_stream.logs.line_index import KnownLines, LineIndexCache
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_pager import LogPager
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.logs.positions import Position
from marianne_stream.logs.read_budget import consume_budget
from marianne_stream.logs.safe_open import LogPath

UNTIMED = b"step of the build writes its output here, and gives no time\n"
TEN = LineTime(datetime.fromisoformat("2026-11-24T10:00:00"))
LIMIT_BYTES = 3 * 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of the log."""
    return tmp_path / "marianne.log"


@pytest.fixture
def log(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogHandle]:
    """Handle of the log, of which little is parsed at most."""
    monkeypatch.setattr(line_finder, "MAX_PARSED_BYTES", LIMIT_BYTES)
    threads = LogThreads()
    yield LogHandle(
        LogPath(str(path.parent), path.name),
        job_filter=None,
        index_cache=LineIndexCache(),
        threads=threads.for_job("a"),
    )
    threads.close()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Lines whose times were parsed."""
    lines: list[bytes] = []

    def parse(line: bytes) -> str | None:
        lines.append(line)
        return parse_time(line)

    monkeypatch.setattr(line_finder, "parse_time", parse)
    return lines


def timed(hour: int) -> bytes:
    """Return a line with a time."""
    return b"2026-11-24T%02d:00:00 [info] hour %d\n" % (hour, hour)


def untimed(size_bytes: int) -> bytes:
    """Return lines without a time."""
    return UNTIMED * (size_bytes // len(UNTIMED))


async def find(log: LogHandle, file: LogFile | None = None) -> int | None:
    """Return the number of the first line at ten o'clock or later."""
    line = await log.find_line(
        partial(find_time, TimeSearch(TEN)), file or await log.open_current()
    )
    return line.number + 1 if line is not None else None


async def test_log_without_times_is_parsed_up_to_a_limit(
    path: Path, log: LogHandle, parsed: list[bytes]
) -> None:
    path.write_bytes(untimed(4 * LIMIT_BYTES))
    assert await find(log) is None
    assert sum(map(len, parsed)) < 2 * LIMIT_BYTES


async def test_time_behind_many_lines_without_one_is_found(
    path: Path, log: LogHandle, parsed: list[bytes]
) -> None:
    text = timed(9) + untimed(4 * LIMIT_BYTES)
    path.write_bytes(text + timed(11))
    assert await find(log) == text.count(b"\n") + 1
    assert sum(map(len, parsed)) < 3 * LIMIT_BYTES


@pytest.mark.parametrize("hour", [9, 10, 11])
async def test_times_around_many_lines_without_one_are_found(
    path: Path, log: LogHandle, parsed: list[bytes], hour: int
) -> None:
    size = 2 * LIMIT_BYTES
    hours = [timed(each) * (size // len(timed(each))) for each in (8, 9, 11, 12)]
    output = untimed(4 * LIMIT_BYTES)
    path.write_bytes(hours[0] + hours[1] + output + hours[2] + hours[3])
    time = LineTime(datetime.fromisoformat(f"2026-11-24T{hour:02}:00:00"))
    file = await log.open_current()
    await log.find_end(file)
    line = await log.find_line(partial(find_time, TimeSearch(time)), file)
    before = hours[0] if hour == 9 else hours[0] + hours[1] + output
    assert line is not None
    assert line.number == before.count(b"\n")
    assert sum(map(len, parsed)) < 3 * LIMIT_BYTES


async def test_too_many_lines_without_a_time_behind_an_earlier_one_reach_the_limit(
    path: Path, log: LogHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_finder, "MAX_PARSED_BYTES", 4 * line_finder.PROBE_BYTES)
    path.write_bytes(timed(9) + untimed(4 * LIMIT_BYTES) + timed(11))
    with pytest.raises(ReadLimitError):
        await find(log)


async def test_time_is_found_in_a_large_compressed_file(
    path: Path, log: LogHandle, parsed: list[bytes]
) -> None:
    hours = timed(8) * (2 * LIMIT_BYTES // len(timed(8)))
    text = hours + timed(10) + hours.replace(b"T08", b"T11")
    path.with_name("marianne.log.1.gz").write_bytes(gzip.compress(text, 1))
    path.write_bytes(timed(12))
    file = await log.threads.read(log.files.previous_file, await log.open_current())
    assert file is not None
    assert await find(log, file) == hours.count(b"\n") + 1
    assert sum(map(len, parsed)) < LIMIT_BYTES


async def test_search_for_a_time_holds_up_no_reader_of_the_end(path: Path, log: LogHandle) -> None:
    path.write_bytes(timed(9))
    may_end = Event()

    def find_slowly(_file: LogFile, _known: KnownLines, _filter: LineFilter | None) -> Position:
        may_end.wait(30)
        raise ReadLimitError

    file = await log.open_current()
    search = asyncio.create_task(log.find_line(find_slowly, file))
    try:
        for _ in range(3):
            async with asyncio.timeout(20):
                assert (await log.find_end()).number == 1
    finally:
        may_end.set()
    with pytest.raises(ReadLimitError):
        await search


def make_pager(log: LogHandle, line_filter: LineFilter | None = None) -> LogPager:
    """Return a pager of a log."""
    return LogPager(log, line_filter=line_filter, max_lines=10, job_ended=True)


async def test_rotated_files_without_times_are_parsed_up_to_one_limit(
    path: Path, log: LogHandle, parsed: list[bytes]
) -> None:
    for number in range(1, 6):
        rotated = path.with_name(f"marianne.log.{number}")
        rotated.write_bytes(b"file %d\n" % number + untimed(2 * LIMIT_BYTES))
        os.utime(rotated, (1_000_000 - number, 1_000_000 - number))
    path.write_bytes(b"newest\n")
    page = await make_pager(log).read_around_time(TEN)
    assert (page.target, page.lines[-1].line.text) == (None, b"newest")
    assert sum(map(len, parsed)) < 2 * LIMIT_BYTES


async def test_search_for_a_line_number_that_takes_long_ends(
    path: Path, log: LogHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_nothing(*_arguments: object) -> Position:
        while True:
            consume_budget(0)

    monkeypatch.setattr(log_pager, "find_number", find_nothing)
    monkeypatch.setattr(log_pager, "FIND_TIMEOUT_S", 0.05)
    path.write_bytes(timed(9))
    async with asyncio.timeout(20):
        with pytest.raises(ReadLimitError):
            await make_pager(log).read_around_line(1)


async def test_searches_for_lines_count_as_searches_of_the_job(
    path: Path, log: LogHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, may_end = Semaphore(0), Event()

    def find_slowly(*_arguments: object) -> None:
        entered.release()
        may_end.wait(30)

    monkeypatch.setattr(log_pager, "find_number", find_slowly)
    monkeypatch.setattr(log_pager, "find_time", find_slowly)
    path.write_bytes(timed(11))
    by_number = asyncio.create_task(make_pager(log).read_around_line(1))
    by_time = asyncio.create_task(make_pager(log).read_around_time(TEN))
    try:
        for _ in range(2):
            assert await asyncio.to_thread(entered.acquire, timeout=20)
        with pytest.raises(TooManySearchesError):
            async with asyncio.timeout(20):
                await make_pager(log, TextFilter("hour")).read_newest()
        # A further one waits.
        waiting = asyncio.create_task(make_pager(log).read_around_time(TEN))
    finally:
        may_end.set()
    assert [one.line.number for one in (await waiting).lines] == [1]
    assert (await by_time).target is None
    with pytest.raises(CursorExpiredError):
        await by_number


async def test_search_for_a_match_behind_a_time_tells_that_it_ran_out_of_time(
    path: Path, log: LogHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(timed(9) + timed(11) * (2 * LIMIT_BYTES // len(timed(11))) + timed(12) * 10)
    monkeypatch.setattr(scans, "SEARCH_TIMEOUT_S", -1)
    page = await make_pager(log, TextFilter("hour 12")).read_around_time(TEN)
    assert (page.target, page.stopped_by) == (None, "time")
