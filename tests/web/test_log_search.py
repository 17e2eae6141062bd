"""Log searched and filtered, in pages."""

import asyncio
import threading
from pathlib import Path

import pytest

from marianne_stream.logs import scans
from marianne_stream.logs.filters import TextFilter
from tests.support.log_files import append_lines, compress_log, write_rotated_log
from tests.support.log_lines import LOGS, expect_lines
from tests.support.log_pages import LINES, get_page, page_texts
from tests.web.conftest import Client, OpenStream


async def test_search_finds_lines_in_rotated_files(log_path: Path, client: Client) -> None:
    lines = write_rotated_log(log_path)
    errors = [lines[9], lines[19], lines[29]]
    for search in ({"level": "error"}, {"regex": r"line \d?0$"}, {"contains": "[error]"}):
        found = await get_page(client, **search)
        assert page_texts(found) == errors
        assert found["before"] is None
        assert found["read_bytes"] == sum(len(line) + 1 for line in lines)
    last = await get_page(client, level="error", limit="1")
    assert page_texts(last) == errors[2:]
    assert page_texts(await get_page(client, level="error", before=last["before"])) == errors[:2]
    assert page_texts(await get_page(client, contains="nowhere")) == []


async def test_search_stopped_before_line_resumes_with_that_line(
    log_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "SEARCH_TIMEOUT_S", 0.0)
    # A line that is the first of what is looked at in one go.
    append_lines(log_path, "c" * 1_200_000, "a" * 600_000, "wanted" + "b" * 900_000)
    last = (await get_page(client, contains="wanted"))["lines"][-1]
    stopped = await get_page(client, before=last["cursor"], contains="wanted")
    assert (stopped["lines"], stopped["stopped_by"]) == ([], "time")
    monkeypatch.undo()
    later = await get_page(client, after=stopped["after"], contains="wanted")
    assert later["lines"] == [last]


async def test_search_with_slow_pattern_stops_and_resumes_within_block(
    log_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_lines(log_path, *(f"{n:05} " + "ab" * 40 for n in range(8000)))
    slow = "00000 .{200}~|0000[0-9] (ab){40}$|[a-e].{250}~"
    monkeypatch.setattr(scans, "SEARCH_TIMEOUT_S", 0.0)
    first = await get_page(client, regex=slow, start="start")
    assert (len(first["lines"]), first["stopped_by"]) == (10, "time")
    assert first["read_bytes"] < 64 * 1024
    last = await get_page(client, regex=slow)
    assert (last["lines"], last["stopped_by"]) == ([], "time")
    assert last["read_bytes"] < 64 * 1024
    monkeypatch.undo()
    assert len((await get_page(client, regex="ab$", after=first["after"], limit="9"))["lines"]) == 9
    rest = await get_page(client, contains="ab", before=last["before"], limit="1")
    assert int(rest["lines"][0]["line"][:5]) == 8000 - last["read_bytes"] // 87 - 1


@pytest.mark.parametrize("form", ["plain", "compressed"])
async def test_slow_search_resumes_from_page_to_page(
    log_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    lines = [f"{n:05} " + "ab" * 40 for n in range(3000)]
    append_lines(log_path, *lines)
    if form == "compressed":
        compress_log(log_path)
        log_path.write_text("new\n")
    monkeypatch.setattr(scans, "SEARCH_TIMEOUT_S", 0.0)
    slow = "00 (ab){40}$|[a-e].{250}~"
    found: list[str] = []
    before, pages = None, 0
    while before is not None or not pages:
        older = await get_page(client, regex=slow, **({"before": before} if before else {}))
        found, before, pages = page_texts(older) + found, older["before"], pages + 1
    assert found == lines[::100]
    assert pages > 3


async def test_search_matches_displayed_text_and_returns_raw_line(
    log_path: Path, client: Client, open_stream: OpenStream
) -> None:
    coloured = "\ufeffsheet \x1b[1m7\x1b[0m begins"
    escaped = '{"event": "caf\\u00e9 says \\"no\\""}'
    append_lines(log_path, coloured, escaped, "plain")
    for search, line in (
        *(({"contains": "sheet 7"}, coloured[1:]), ({"regex": "^sheet 7 b"}, coloured[1:])),
        *(({"contains": "café"}, escaped), ({"regex": 'says "no"'}, escaped)),
        ({"contains": "caf\\u00e9"}, escaped),
    ):
        assert page_texts(await get_page(client, **search)) == [line]
        async with open_stream(LOGS, **search) as viewer:
            await expect_lines(viewer, line)
    assert page_texts(await get_page(client, contains="1m")) == []


async def test_filtered_page_has_whole_entries_with_match_flags(
    log_path: Path, client: Client
) -> None:
    entry = ["[error] b", "Traceback:", "  at b", "ValueError"]
    append_lines(log_path, "[info] a", *entry, "[info] c", "b alone")

    async def found(**search: str) -> list[tuple[str, bool]]:
        told = await get_page(client, **search)
        return [(line["line"], line["match"]) for line in told["lines"]]

    assert await found(level="error") == [(line, line == entry[0]) for line in entry]
    assert await found(level="error", limit="2") == [("  at b", False), ("ValueError", False)]
    assert await found(regex="b$") == [
        *(("[error] b", True), ("Traceback:", False), ("  at b", True), ("ValueError", False)),
    ]
    assert await found(level="error", contains="Value") == [("ValueError", True)]
    assert [line.get("match") for line in (await get_page(client))["lines"]] == [None] * 7


@pytest.mark.parametrize("form", ["plain", "compressed"])
async def test_context_lines_are_shown_once_in_order(
    log_path: Path, client: Client, form: str
) -> None:
    lines = [f"line {n:03}" + ("!" if n in {0, 50, 53, 99} else "") for n in range(100)]
    append_lines(log_path, *lines)
    if form == "compressed":
        compress_log(log_path)
        log_path.write_text("new\n")
    around = [*lines[:3], *lines[48:56], *lines[97:]]
    for options in ({}, {"from": "start"}):
        found = await get_page(client, contains="!", context="2", **options)
        assert page_texts(found) == around
        assert [line["match"] for line in found["lines"]] == [line[-1] == "!" for line in around]
    whole = {line["cursor"]: line for line in (await get_page(client, limit="1000"))["lines"]}
    for line in found["lines"]:
        assert {**line, "match": None} == {**whole[line["cursor"]], "match": None}
    last = await get_page(client, contains="!", context="2", limit="1")
    assert page_texts(last) == lines[97:]
    older = await get_page(client, contains="!", context="2", limit="2", before=last["before"])
    assert page_texts(older) == lines[48:56]


@pytest.mark.parametrize("form", ["plain", "compressed"])
async def test_filtered_page_has_entries_across_blocks(
    log_path: Path, client: Client, form: str
) -> None:
    lines = []
    for number in range(4000):
        lines += [f"[{'error' if number % 50 == 0 else 'info'}] {number} " + "x" * 300]
        lines += [f"  below {number} " + "y" * 300] * 3
    append_lines(log_path, *lines)
    if form == "compressed":
        compress_log(log_path)
        log_path.write_text("[info] new\n")
    expected = [line for n, line in enumerate(lines) if n // 4 % 50 == 0]
    found: list[str] = []
    before = None
    while before is not None or not found:
        older = await get_page(
            client, level="error", limit="7", **({"before": before} if before else {})
        )
        found, before = page_texts(older) + found, older["before"]
    assert found == expected
    found, later = [], await get_page(client, level="error", limit="7", start="start")
    while True:
        found += page_texts(later)
        if later["stopped_by"] == "end":
            break
        later = await get_page(client, level="error", limit="7", after=later["after"])
    assert found == expected


@pytest.mark.parametrize(("context", "most"), [(2, 500), (50, 20)])
async def test_each_match_of_a_page_has_its_context(
    log_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch, context: int, most: int
) -> None:
    # A busy machine would end the search early.
    monkeypatch.setattr(scans, "SEARCH_TIMEOUT_S", 60.0)
    append_lines(log_path, *(f"line {n}{'!' * (n % 101 == 50)}" for n in range(1, 55_051)))
    page = await get_page(client, contains="!", context=str(context), limit="1000")
    numbers = {one["line_number"] for one in page["lines"]}
    matches = [one["line_number"] for one in page["lines"] if one["match"]]
    assert len(matches) == most
    assert all(set(range(n - context, n + context + 1)) <= numbers for n in matches)
    older = await get_page(
        client, contains="!", context=str(context), limit="1", before=page["before"]
    )
    assert [one["line_number"] for one in older["lines"] if one["match"]] == [matches[0] - 101]


async def test_third_search_is_refused_until_one_ends(
    log_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_lines(log_path, "one")
    entered, may_go = threading.Semaphore(0), threading.Event()

    def slowly(wanted: TextFilter, block: bytes) -> list[int]:
        entered.release()
        may_go.wait(10)
        return [0] if wanted.text.encode() in block else []

    monkeypatch.setattr(TextFilter, "find_matches", slowly)
    searches = [asyncio.create_task(get_page(client, contains="one")) for _ in range(2)]
    for _ in searches:
        assert await asyncio.to_thread(entered.acquire, timeout=10)
    refused = await client.get(LINES, params={"contains": "one"})
    assert (refused.status, (await refused.json())["code"]) == (429, "too_many_searches")
    assert "Retry-After" in refused.headers
    assert page_texts(await get_page(client)) == ["one"]
    # A search whose client leaves makes room for another, which waits for its thread.
    searches[0].cancel()
    statuses: list[int] = []

    async def search_again() -> None:
        answer = await client.get(LINES, params={"contains": "one"})
        statuses.append(answer.status)

    async def is_let_in() -> None:
        while 200 not in statuses:
            await search_again()

    let_in = asyncio.create_task(is_let_in())
    may_go.set()
    assert page_texts(await searches[1]) == ["one"]
    await asyncio.wait_for(let_in, 10)


@pytest.mark.parametrize("start", [None, "start"])
async def test_context_of_long_lines_is_kept_where_the_page_begins(
    log_path: Path, client: Client, start: str | None
) -> None:
    long = "x" * 20_000
    append_lines(log_path, *(text for n in range(100) for text in (long, f"match {n}!", long)))
    page = await get_page(client, start=start, contains="!", context="1", limit="1000")
    numbers = [one["line_number"] for one in page["lines"] if not one["match"]]
    nearest = {1, 3, 4, 6} if start else {295, 297, 298, 300}
    assert nearest <= set(numbers)
    assert len(numbers) < 110
    assert len([one for one in page["lines"] if one["match"]]) == 100
