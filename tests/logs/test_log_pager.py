"""Tests of log pages: for any blocks and pages, they hold the lines of the files."""

import asyncio
import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marianne_stream.logs import blocks
from marianne_stream.logs.filters import JobFilter, LineFilter, TextFilter
from marianne_stream.logs.line_index import LineIndexCache
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_pager import LogPager
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.logs.page_result import PageResult
from marianne_stream.logs.safe_open import LogPath
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLineSplitter

# Lines that are short, empty, end in a blank or a carriage return, or exceed a block.
LINE = st.sampled_from(
    [
        *(
            b"",
            b"a",
            b"b b",
            b"ab\r",
            b'{"job_id": "a"}',
            b'{"job_id": "b"}',
            b"x" * 99,
            b"a" * 300,
        ),
        *(b"b 1 %\rb 2 %", b"x" * 300 + b"\ra", b"x" * 140 + b"\r" + b"b" * 140 + b"\x1b[2K"),
    ]
)
FILES = st.lists(
    st.tuples(st.lists(LINE, max_size=12), st.sampled_from([b"", b"rest a"])), max_size=4
)

Line = tuple[str, int, str]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks so small that a few lines take many."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 128)


@pytest.fixture(scope="module")
def threads() -> Iterator[LogThreads]:
    """Provide the threads of a server."""
    threads = LogThreads()
    yield threads
    threads.close()


def make_text(lines: list[bytes], rest: bytes, age: int) -> bytes:
    """Return a file's text. All files begin with the same line, and no two are the same."""
    own = b"".join(line + b"\n" for line in (b"head", b"%d" % age, *lines))
    return own + (rest if age else b"")


def write_files(folder: Path, files: list[tuple[list[bytes], bytes]], compressed: int) -> None:
    """Write a log's files, the oldest first, some of them compressed."""
    for age, (lines, rest) in enumerate(reversed(files)):
        text = make_text(lines, rest, age)
        path = folder / ("marianne.log" if not age else f"marianne.log.{age}")
        if age and age <= compressed:
            path = path.with_name(path.name + ".gz")
            text = gzip.compress(text)
        path.write_bytes(text)
        os.utime(path, (1_000_000 - age, 1_000_000 - age))


def make_expected_lines(
    files: list[tuple[list[bytes], bytes]],
    job_filter: LineFilter | None,
    line_filter: LineFilter | None,
) -> list[tuple[str, int]]:
    """Return the lines as a stream would give them."""
    expected_lines = []
    for age, (lines, rest) in reversed(list(enumerate(reversed(files)))):
        splitter = LogLineSplitter(
            offset=0, number=0, window=b"", predicate=job_filter.matches if job_filter else None
        )
        found = splitter.feed(make_text(lines, rest, age))
        if age and (last := splitter.flush()) is not None:
            found.append(last)
        expected_lines += [
            (x.display_text, x.number)
            for x in found
            if line_filter is None or line_filter.matches(x.text)
        ]
    return expected_lines


async def read_all_backwards(pager: LogPager) -> list[Line]:
    """Return all lines, from the newest page backwards."""
    page = await pager.read_newest()
    found = lines_with_cursors(page)
    while page.before is not None:
        page = await pager.read_before(send_back(page.before))
        found = lines_with_cursors(page) + found
    return found


async def read_all_after(
    pager: LogPager, start: LogCursor, page: PageResult | None = None
) -> list[Line]:
    """Return all lines behind a cursor."""
    found: list[Line] = []
    while page is None or page.stopped_by != "end":
        page = await pager.read_after(start)
        found += lines_with_cursors(page)
        assert page.after is not None
        start = send_back(page.after)
    return found


def lines_with_cursors(page: PageResult) -> list[Line]:
    """Return the lines of a page, with their cursors."""
    return [(line.display_text, line.number, str(cursor)) for line, cursor, _ in page.lines]


def send_back(cursor: LogCursor) -> LogCursor:
    """Return a cursor as a client sends it back."""
    parsed = LogCursor.parse(str(cursor))
    assert parsed is not None
    return parsed


@settings(deadline=None, max_examples=150, database=None)
@given(
    files=FILES.filter(bool),
    compressed=st.integers(0, 3),
    limit=st.integers(1, 7),
    job_filter=st.sampled_from([None, JobFilter("a")]),
    line_filter=st.sampled_from([None, TextFilter("a")]),
)
def test_pages_hold_each_line_once_in_order(
    *,
    threads: LogThreads,
    files: list[tuple[list[bytes], bytes]],
    compressed: int,
    limit: int,
    job_filter: LineFilter | None,
    line_filter: LineFilter | None,
) -> None:
    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), files, compressed)
            log = LogHandle(
                LogPath(folder, "marianne.log"),
                job_filter=job_filter,
                index_cache=LineIndexCache(),
                threads=threads.for_job("a"),
            )
            pager = LogPager(log, line_filter=line_filter, max_lines=limit, job_ended=False)
            lines = await read_all_backwards(pager)
            assert [line[:2] for line in lines] == make_expected_lines(
                files, job_filter, line_filter
            )
            if lines:
                first = send_back(LogCursor.parse(lines[0][2]) or LogCursor(0, 0, 0, 0, 0))
                assert await read_all_after(pager, first) == lines[1:]

    asyncio.run(check())
