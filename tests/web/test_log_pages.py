"""Log in pages, through rotated files."""

import asyncio
import gzip
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.web.log_page_handlers import EDGE_RENAMED
from tests.support.log_files import append_lines, compress_log, write_rotated_log
from tests.support.log_lines import LOGS, expect_lines
from tests.support.log_pages import LINES, get_page, page_texts
from tests.web.conftest import Client, OpenStream


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
        compress_log(log_path)
        log_path.write_text("three\n")
    first = (await get_page(client))["lines"][0]
    empty = await get_page(client, before=first["cursor"])
    assert (empty["lines"], empty["before"], empty["stopped_by"]) == ([], None, "start")
    append_lines(log_path, "four")
    assert (await get_page(client, after=empty["after"]))["lines"][0] == first


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
