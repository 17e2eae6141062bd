"""Pages of history: whatever the blocks and the pages, they hold the lines that reading gives."""

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
from marianne_stream.logs.log_pager import LogPager, PageResult
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.logs.safe_open import LogPath
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLineSplitter

# Lines that are short, empty, have blanks or a carriage return at their ends, or outgrow a block.
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
    """Blocks of a few lines, so that a few lines take many."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 128)


@pytest.fixture(scope="module")
def threads() -> Iterator[LogThreads]:
    """The threads of a server."""
    threads = LogThreads()
    yield threads
    threads.close()


def text_of(lines: list[bytes], rest: bytes, age: int) -> bytes:
    """A file's text: all begin with the same line, and no two are the same."""
    own = b"".join(line + b"\n" for line in (b"head", b"%d" % age, *lines))
    return own + (rest if age else b"")


def write(folder: Path, files: list[tuple[list[bytes], bytes]], compressed: int) -> None:
    """Writes a log's files, the oldest first; some of them compressed."""
    for age, (lines, rest) in enumerate(reversed(files)):
        text = text_of(lines, rest, age)
        path = folder / ("marianne.log" if not age else f"marianne.log.{age}")
        if age and age <= compressed:
            path = path.with_name(path.name + ".gz")
            text = gzip.compress(text)
        path.write_bytes(text)
        os.utime(path, (1_000_000 - age, 1_000_000 - age))


def expected(
    files: list[tuple[list[bytes], bytes]], selection: LineFilter | None, only: LineFilter | None
) -> list[tuple[str, int]]:
    """The lines as the stream would give them."""
    wanted = []
    for age, (lines, rest) in reversed(list(enumerate(reversed(files)))):
        cutter = LogLineSplitter(
            offset=0, number=0, window=b"", predicate=selection.matches if selection else None
        )
        found = cutter.feed(text_of(lines, rest, age))
        if age and (last := cutter.flush()) is not None:
            found.append(last)
        wanted += [
            (x.display_text, x.number) for x in found if only is None or only.matches(x.text)
        ]
    return wanted


async def all_back(pages: LogPager) -> list[Line]:
    """All lines, from the newest page back."""
    page = await pages.read_newest()
    found = told(page)
    while page.before is not None:
        page = await pages.read_before(again(page.before))
        found = told(page) + found
    return found


async def all_on(pages: LogPager, start: LogCursor, page: PageResult | None = None) -> list[Line]:
    """All lines behind a cursor."""
    found: list[Line] = []
    while page is None or page.stopped_by != "end":
        page = await pages.read_after(start)
        found += told(page)
        assert page.after is not None
        start = again(page.after)
    return found


def told(page: PageResult) -> list[Line]:
    """The lines of a page, with their cursors."""
    return [(line.display_text, line.number, str(cursor)) for line, cursor, _ in page.lines]


def again(cursor: LogCursor) -> LogCursor:
    """A cursor as it comes back from a client."""
    parsed = LogCursor.parse(str(cursor))
    assert parsed is not None
    return parsed


@settings(deadline=None, max_examples=150, database=None)
@given(
    files=FILES.filter(bool),
    compressed=st.integers(0, 3),
    limit=st.integers(1, 7),
    selection=st.sampled_from([None, JobFilter("a")]),
    only=st.sampled_from([None, TextFilter("a")]),
)
def test_pages_hold_every_line_once_and_in_order(
    *,
    threads: LogThreads,
    files: list[tuple[list[bytes], bytes]],
    compressed: int,
    limit: int,
    selection: LineFilter | None,
    only: LineFilter | None,
) -> None:
    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), files, compressed)
            log = LogHandle(
                LogPath(folder, "marianne.log"),
                job_filter=selection,
                index_cache=LineIndexCache(),
                threads=threads.for_job("a"),
            )
            pages = LogPager(log, line_filter=only, max_lines=limit, job_ended=False)
            back = await all_back(pages)
            assert [line[:2] for line in back] == expected(files, selection, only)
            if back:
                first = again(LogCursor.parse(back[0][2]) or LogCursor(0, 0, 0, 0, 0))
                assert await all_on(pages, first) == back[1:]

    asyncio.run(check())
