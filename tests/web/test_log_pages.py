"""Log in pages, through rotated files, and searched."""

import asyncio
import gzip
import threading
from datetime import datetime
from pathlib import Path
from time import tzset
from typing import Any

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.logs import scans
from marianne_stream.logs.filters import TextFilter
from marianne_stream.web.log_page_handlers import EDGE_RENAMED
from tests.support.log_files import append_lines
from tests.support.log_lines import LOGS, expect_lines
from tests.web.conftest import Client, OpenStream

LINES = f"{LOGS}/lines"


async def get_page(client: Client, *, start: str | None = None, **params: str) -> dict[str, Any]:
    """Return a page; `start` is the parameter `from`, a keyword of Python."""
    if start is not None:
        params["from"] = start
    answer = await client.get(LINES, params=params)
    assert answer.status == 200, await answer.text()
    told: dict[str, Any] = await answer.json()
    return told


def page_texts(page: dict[str, Any]) -> list[str]:
    """Return the text of the lines of a page."""
    return [line["line"] for line in page["lines"]]


def write_rotated_log(log: Path) -> list[str]:
    """Write a log of 30 lines in three files, one compressed, and return its lines."""
    lines = [f"2026-11-24 [{'error' if n % 10 == 0 else 'info'}] line {n}" for n in range(1, 31)]
    for number, part in ((2, lines[:10]), (1, lines[10:20])):
        append_lines(log, *part)
        text = log.read_bytes()
        log.unlink()
        if number == 2:
            log.with_name("marianne.log.2.gz").write_bytes(gzip.compress(text))
        else:
            log.with_name("marianne.log.1").write_bytes(text)
    append_lines(log, *lines[20:])
    return lines


async def test_log_pages_backwards_hold_whole_log(log_path: Path, client: Client) -> None:
    lines = write_rotated_log(log_path)
    newest = await get_page(client, limit="7")
    assert page_texts(newest) == lines[23:]
    assert [line["line_number"] for line in newest["lines"]] == list(range(4, 11))
    assert (newest["stopped_by"], newest["log_file"], newest["source"]) == (
        *("limit", "marianne.log", "job"),
    )
    found, before = page_texts(newest), newest["before"]
    while before is not None:
        older = await get_page(client, limit="7", before=before)
        found, before = page_texts(older) + found, older["before"]
    assert found == lines
    assert older["stopped_by"] == "start"


async def test_log_pages_after_cursor_end_with_the_log(log_path: Path, client: Client) -> None:
    lines = write_rotated_log(log_path)
    first = (await get_page(client, limit="1000"))["lines"][0]
    found, after, stopped_by = [first["line"]], first["cursor"], "limit"
    while stopped_by == "limit":
        later = await get_page(client, limit="7", after=after)
        found, after, stopped_by = found + page_texts(later), later["after"], later["stopped_by"]
    assert (found, stopped_by) == (lines, "end")
    append_lines(log_path, "and one more")
    assert page_texts(await get_page(client, after=after)) == ["and one more"]


async def test_stream_from_newest_page_resumes_at_its_end(
    log_path: Path, client: Client, open_stream: OpenStream
) -> None:
    append_lines(log_path, "one", "two")
    newest = await get_page(client, contains="one")
    append_lines(log_path, "three")
    async with open_stream(LOGS, last_event_id=newest["after"]) as viewer:
        await expect_lines(viewer, "three")


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


async def test_log_pages_forwards_hold_whole_log(log_path: Path, client: Client) -> None:
    lines = write_rotated_log(log_path)
    oldest = later = await get_page(client, start="start", limit="7")
    assert page_texts(oldest) == lines[:7]
    assert (oldest["before"], oldest["stopped_by"]) == (None, "limit")
    found = page_texts(oldest)
    while later["stopped_by"] == "limit":
        later = await get_page(client, limit="7", after=later["after"])
        found += page_texts(later)
    assert (found, later["stopped_by"]) == (lines, "end")
    assert page_texts(await get_page(client, start="end")) == lines
    errors = await get_page(client, start="start", level="error", limit="2")
    assert page_texts(errors) == [lines[9], lines[19]]
    assert page_texts(await get_page(client, level="error", after=errors["after"])) == [lines[29]]


async def test_oldest_page_of_empty_log_has_after_cursor(log_path: Path, client: Client) -> None:
    log_path.touch()
    empty = await get_page(client, start="start")
    assert (empty["lines"], empty["before"], empty["stopped_by"]) == ([], None, "end")
    append_lines(log_path, "one")
    assert page_texts(await get_page(client, after=empty["after"])) == ["one"]


@pytest.mark.parametrize("search", [{}, {"level": "error"}, {"contains": "line"}])
async def test_page_after_page_before_line_begins_with_that_line(
    log_path: Path, client: Client, search: dict[str, str]
) -> None:
    write_rotated_log(log_path)
    for line in (await get_page(client, **search))["lines"]:
        for limit in ("1", "7", "1000"):
            before = await get_page(client, before=line["cursor"], limit=limit, **search)
            behind = await get_page(client, after=before["after"], limit=limit, **search)
            assert behind["lines"][0] == line


@pytest.mark.parametrize("form", ["plain", "compressed"])
async def test_page_after_empty_first_page_begins_with_first_line(
    log_path: Path, client: Client, form: str
) -> None:
    append_lines(log_path, "one", "two")
    if form == "compressed":
        log_path.with_name("marianne.log.1.gz").write_bytes(gzip.compress(log_path.read_bytes()))
        log_path.write_text("three\n")
    first = (await get_page(client))["lines"][0]
    empty = await get_page(client, before=first["cursor"])
    assert (empty["lines"], empty["before"], empty["stopped_by"]) == ([], None, "start")
    append_lines(log_path, "four")
    assert (await get_page(client, after=empty["after"]))["lines"][0] == first


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
        log_path.with_name("marianne.log.1.gz").write_bytes(gzip.compress(log_path.read_bytes()))
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


async def test_page_around_line_is_filled_with_neighbours(log_path: Path, client: Client) -> None:
    lines = write_rotated_log(log_path)
    whole = (await get_page(client))["lines"]
    for place, line in enumerate(whole):
        for limit in (1, 2, 7, 29, 40):
            around = await get_page(client, around=line["cursor"], limit=f"{limit}")
            share = limit - limit // 2
            first = max(0, min(place + 1 - share, len(lines) - limit))
            assert around["lines"] == whole[first : first + limit]
            before = around["before"]
            older = page_texts(await get_page(client, before=before)) if before is not None else []
            newer = page_texts(await get_page(client, after=around["after"]))
            assert (older, newer) == (lines[:first], lines[first + limit :])
            assert around["stopped_by"] == ("end" if limit == 40 else "limit")


async def test_page_around_line_applies_filters(log_path: Path, client: Client) -> None:
    lines = write_rotated_log(log_path)
    whole = (await get_page(client))["lines"]
    errors = [lines[9], lines[19], lines[29]]
    around = await get_page(client, around=whole[19]["cursor"], level="error")
    assert (page_texts(around), around["stopped_by"]) == (errors, "end")
    between = await get_page(client, around=whole[14]["cursor"], level="error", limit="2")
    assert page_texts(between) == errors[:2]
    assert page_texts(await get_page(client, after=between["after"], level="error")) == errors[2:]


async def test_page_around_line_is_limited_to_a_megabyte(log_path: Path, client: Client) -> None:
    append_lines(log_path, *(f"{n:02}" + "x" * 60_000 for n in range(40)))
    whole = (await get_page(client, start="start"))["lines"]
    whole += (await get_page(client, after=whole[-1]["cursor"]))["lines"]
    whole += (await get_page(client, after=whole[-1]["cursor"]))["lines"]
    assert len(whole) == 40
    for line in (whole[0], whole[20], whole[39]):
        around = await get_page(client, around=line["cursor"], limit="1000")
        assert line in around["lines"]
        assert 15 <= len(around["lines"]) <= 17
        assert around["stopped_by"] == "limit"


async def test_page_of_empty_log_is_empty_and_has_after_cursor(
    log_path: Path, client: Client
) -> None:
    log_path.touch()
    empty = await get_page(client)
    assert (empty["lines"], empty["before"], empty["stopped_by"]) == ([], None, "start")
    append_lines(log_path, "one")
    assert page_texts(await get_page(client, after=empty["after"])) == ["one"]


async def test_unfinished_line_is_a_line_after_the_job_ended(
    log_path: Path, conductor: SimulatedConductor, client: Client
) -> None:
    log_path.write_text("one\ntwo")
    assert page_texts(await get_page(client)) == ["one"]
    conductor.finish("lantern", "completed")
    # The roster that says so may be a second old.
    async with asyncio.timeout(10):
        while page_texts(await get_page(client)) != ["one", "two"]:
            pass


@pytest.mark.parametrize("nuls", [3, 70_000, 3_000_000])
async def test_hole_of_nul_bytes_is_not_part_of_a_line(
    log_path: Path, client: Client, open_stream: OpenStream, nuls: int
) -> None:
    log_path.write_bytes(b"\0" * nuls + b"FIRST\nsecond\n" + b"\0" * nuls + b"third\n")
    whole = await get_page(client)
    assert [(line["line"], line["truncated"]) for line in whole["lines"]] == [
        *(("FIRST", False), ("second", False), ("third", False)),
    ]
    assert page_texts(await get_page(client, start="start")) == ["FIRST", "second", "third"]
    assert page_texts(await get_page(client, regex="^(FIRST|third)$")) == ["FIRST", "third"]
    assert page_texts(await get_page(client, before=whole["lines"][1]["cursor"])) == ["FIRST"]
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "FIRST", "second", "third")
        assert [event.event_id for event in viewer.events if event.event == "log"] == [
            line["cursor"] for line in whole["lines"]
        ]


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
        log_path.with_name("marianne.log.1.gz").write_bytes(gzip.compress(log_path.read_bytes()))
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
        log_path.with_name("marianne.log.1.gz").write_bytes(gzip.compress(log_path.read_bytes()))
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


async def test_damaged_file_is_reported_as_gap(log_path: Path, client: Client) -> None:
    whole = gzip.compress(b"".join(b"old %d\n" % n for n in range(100_000)))
    append_lines(log_path, "new")
    log_path.with_name("marianne.log.1.gz").write_bytes(whole[:-2000])
    damaged = await get_page(client)
    assert damaged["gap"]
    assert page_texts(damaged)[-1] == "new"


async def test_page_of_long_lines_is_limited_to_a_megabyte(log_path: Path, client: Client) -> None:
    append_lines(log_path, *(f"{n}" + "x" * 60_000 for n in range(40)), "y" * 3_000_000)
    newest = await get_page(client, limit="1000")
    assert newest["stopped_by"] == "limit"
    assert 1_000_000 < sum(map(len, page_texts(newest))) <= 1024 * 1024
    assert (newest["lines"][-1]["truncated"], len(page_texts(newest)[-1])) == (True, 65536)
    found, before = page_texts(newest), newest["before"]
    while before is not None:
        older = await get_page(client, limit="1000", before=before)
        found, before = page_texts(older) + found, older["before"]
    assert [text.rstrip("x") for text in found[:-1]] == [str(n) for n in range(40)]


@pytest.mark.parametrize(
    ("params", "status", "words"),
    [
        ({"limit": "0"}, 400, "limit must be between 1 and 1000"),
        ({"limit": "many"}, 400, "limit must be an integer, got 'many'"),
        ({"before": "x"}, 400, "before must be a cursor of a log, got 'x'"),
        ({"after": "s-" + "0" * 24}, 400, "after must be a cursor of a log"),
        ({"before": "l" * 5_000}, 400, "before must be a cursor of a log"),
        ({"context": "51"}, 400, "context must be between 0 and 50"),
        ({"regex": "("}, 400, "regex is invalid"),
        ({"regex": ".{500}~|.{501}~"}, 400, "regex is too complex"),
        ({"level": "loud"}, 400, "level must be one of"),
        ({"around": "x"}, 400, "around must be a cursor of a log, got 'x'"),
        ({"from": "left"}, 400, "from must be one of end, start, got 'left'"),
        ({"edge": "oldest"}, 400, EDGE_RENAMED),
        ({"from": "start", "before": "x"}, 400, "before and from cannot be given together"),
        ({"from": "end", "around": "x"}, 400, "around and from cannot be given together"),
        ({"after": "x", "around": "x"}, 400, "after and around cannot be given together"),
        (
            {"around": f"l-1-{'0' * 16}-5-1-{'1' * 16}"},
            *(410, "The cursor matches no remaining part of this log."),
        ),
        (
            {"before": f"l-1-{'0' * 16}-5-1-{'1' * 16}"},
            *(410, "The cursor matches no remaining part of this log."),
        ),
        (
            {"before": f"l-1-{'0' * 16}-5-1-{'1' * 16}", "after": f"l-1-{'0' * 16}-5-1-{'1' * 16}"},
            *(400, "before and after cannot be given together"),
        ),
    ],
)
async def test_invalid_page_parameters_are_named(
    log_path: Path, client: Client, params: dict[str, str], status: int, words: str
) -> None:
    append_lines(log_path, "one", "two")
    answer = await client.get(LINES, params=params)
    assert answer.status == status
    assert words in (await answer.json())["detail"]


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
    # One who leaves makes room: what is asked next waits for its thread.
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


async def test_page_around_line_number_finds_rotated_line_by_its_check(
    log_path: Path, client: Client
) -> None:
    lines = write_rotated_log(log_path)
    newest = await get_page(client, line="4", limit="3")
    assert page_texts(newest) == lines[22:25]
    assert newest["target"] == newest["lines"][1]["cursor"]
    oldest = await get_page(client, start="start", limit="10")
    for expected, page in ((lines[3], oldest), (lines[23], newest)):
        cursor = next(one["cursor"] for one in page["lines"] if one["line"] == expected)
        check = cursor.rpartition("-")[2][:8]
        found = await get_page(client, line="4", check=check, limit="1")
        assert page_texts(found) == [expected]
        assert found["target"] == cursor
    # The line is another one now: the newest with this number is shown.
    other = await get_page(client, line="4", check="0" * 16, limit="1")
    assert page_texts(other) == [lines[23]]
    assert (await client.get(LINES, params={"line": "11"})).status == 410
    for invalid in ({"line": "-1"}, {"line": "1", "check": "xyz"}, {"line": "1", "from": "start"}):
        assert (await client.get(LINES, params=invalid)).status == 400


def timed_lines(first_hour: int, count: int, zone: str = "") -> list[str]:
    """Return lines, one each minute from an hour on, some without a time."""
    return [
        f"2026-11-24T{first_hour + n // 60:02}:{n % 60:02}:00{zone} [info] line {n}"
        if n % 7
        else f"  line {n} without a time"
        for n in range(1, count + 1)
    ]


async def test_page_around_time_begins_at_first_line_of_that_time(
    log_path: Path, client: Client
) -> None:
    append_lines(log_path, *timed_lines(3, 100))
    log_path.with_name("marianne.log.1.gz").write_bytes(gzip.compress(log_path.read_bytes()))
    log_path.unlink()
    append_lines(log_path, *timed_lines(6, 100))

    async def find(time: str) -> str:
        page = await get_page(client, time=time, limit="5")
        return next(str(one["line"]) for one in page["lines"] if one["cursor"] == page["target"])

    assert await find("2026-11-24T06:10:00") == "2026-11-24T06:10:00 [info] line 10"
    assert await find("2026-11-24T06:14:00") == "2026-11-24T06:15:00 [info] line 15"
    assert await find("2026-11-24T05:50:00") == "2026-11-24T06:01:00 [info] line 1"
    assert await find("2026-11-24T03:30:30Z") == "2026-11-24T03:31:00 [info] line 31"
    assert await find("2026-11-24T04:30:30+01:00") == "2026-11-24T03:31:00 [info] line 31"
    assert await find("2020-01-01") == "2026-11-24T03:01:00 [info] line 1"
    late = await get_page(client, time="2026-11-25T00:00:00", limit="1")
    assert (page_texts(late), late["target"]) == (timed_lines(6, 100)[-1:], None)
    assert (await client.get(LINES, params={"time": "yesterday"})).status == 400


async def test_line_without_an_offset_is_found_by_the_servers_local_time(
    log_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_lines(log_path, *timed_lines(3, 100))
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    tzset()
    try:
        response = await client.get(LINES, params={"time": "2026-11-23T21:45:00Z"})
    finally:
        monkeypatch.undo()
        tzset()
    page = await response.json()
    found = next(line["line"] for line in page["lines"] if line["cursor"] == page["target"])
    assert found == "2026-11-24T03:30:00 [info] line 30"
    assert response.headers["Local-Time-Offset"] == "+0545"


@pytest.mark.parametrize("unset", ["0001-01-01 00:00:00", "9999-12-31 23:59:59"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
async def test_page_around_time_passes_over_unset_dates(
    log_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch, unset: str, zone: str
) -> None:
    # Such a line is the first and the last that each probe of the file sees.
    lines = [f"{line} {'x' * 60_000}" for line in timed_lines(3, 100)]
    append_lines(log_path, *(one for line in lines for one in (f"{unset} next run", line)))
    append_lines(log_path, f"{unset} next run")
    monkeypatch.setenv("TZ", zone)
    tzset()
    try:
        page = await get_page(client, time="2026-11-24T03:30:00", limit="3")
        moment = datetime.fromisoformat("2026-11-24T03:30:00").astimezone().isoformat()
        same = await get_page(client, time=moment, limit="3")
    finally:
        monkeypatch.undo()
        tzset()
    (found,) = [one for one in page["lines"] if one["cursor"] == page["target"]]
    assert found["line"][:16] == "2026-11-24T03:30"
    assert same["target"] == page["target"]


async def test_page_around_time_in_zone_compares_moments(log_path: Path, client: Client) -> None:
    # More than one entry of the line index.
    append_lines(log_path, *(f"{line} {'x' * 40_000}" for line in timed_lines(3, 100, "+02:00")))
    for time in ("2026-11-24T02:30:00Z", "2026-11-24T04:30:00"):
        page = await get_page(client, time=time, limit="3")
        (found,) = [one for one in page["lines"] if one["cursor"] == page["target"]]
        assert (found["line_number"], found["line"][:16]) == (90, "2026-11-24T04:30")


def write_timed_log(log: Path, *, errors: set[int]) -> list[str]:
    """Write 60 lines, one each minute from 03:00 on, some of them errors, and return them."""
    lines = [
        f"2026-11-24T03:{n:02}:00Z [{'error' if n in errors else 'info'}] line {n}"
        for n in range(60)
    ]
    append_lines(log, *lines)
    return lines


def target_text(page: dict[str, Any]) -> str | None:
    """Return the text of the line that a page was asked for; None if it has no such line."""
    return next((one["line"] for one in page["lines"] if one["cursor"] == page["target"]), None)


@pytest.mark.parametrize("current", ["", "Traceback:\n  boom\n"])
@pytest.mark.parametrize("between", [None, "no times\n"])
async def test_page_around_time_finds_rotated_line_behind_files_without_times(
    log_path: Path, client: Client, current: str, between: str | None
) -> None:
    lines = write_timed_log(log_path, errors=set())
    oldest = log_path.with_name("marianne.log.1" if between is None else "marianne.log.2")
    log_path.rename(oldest)
    if between is not None:
        log_path.with_name("marianne.log.1").write_text(between)
    log_path.write_text(current)
    page = await get_page(client, time="2026-11-24T03:30:00Z", limit="5")
    assert target_text(page) == lines[30]


async def test_page_around_place_is_that_of_next_line_that_passes_the_filter(
    log_path: Path, client: Client
) -> None:
    lines = write_timed_log(log_path, errors={5, 35})
    for limit in ("1", "600"):
        for place in ({"time": "2026-11-24T03:30:00Z"}, {"line": "8"}):
            page = await get_page(client, level="error", limit=limit, **place)
            assert target_text(page) == lines[35]
        page = await get_page(client, level="error", limit=limit, line="36")
        assert target_text(page) == lines[35]
    assert page_texts(page) == [lines[5], lines[35]]
    late = await get_page(client, level="error", time="2026-11-24T03:40:00Z")
    assert (page_texts(late), late["target"]) == ([lines[5], lines[35]], None)


async def test_page_around_place_has_context_of_matches(log_path: Path, client: Client) -> None:
    lines = write_timed_log(log_path, errors={5, 33, 35})
    page = await get_page(client, level="error", line="34", context="2", limit="2")
    assert page_texts(page) == lines[31:38]
    assert [one["match"] for one in page["lines"]] == ["[error]" in one for one in lines[31:38]]
    around = await get_page(client, level="error", around=page["target"], context="2")
    assert page_texts(around) == lines[3:8] + lines[31:38]


@pytest.mark.parametrize(("context", "most"), [(2, 500), (50, 20)])
async def test_each_match_of_a_page_has_its_context(
    log_path: Path, client: Client, context: int, most: int
) -> None:
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


async def test_page_around_time_in_log_without_times_is_the_newest(
    log_path: Path, client: Client
) -> None:
    append_lines(log_path, *map(str, range(100)))
    page = await get_page(client, time="2026-11-24T03:30:00Z", limit="2")
    assert (page_texts(page), page["target"]) == (["98", "99"], None)
