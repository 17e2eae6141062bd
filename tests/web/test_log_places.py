"""Page of a log around a line, a line number or a time."""

from datetime import datetime
from pathlib import Path
from time import tzset
from typing import Any

import pytest

from marianne_stream.logs import log_handle, log_pager
from tests.support.log_files import append_lines, compress_log, write_rotated_log
from tests.support.log_pages import LINES, get_page, page_texts
from tests.web.conftest import Client


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
    compress_log(log_path)
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


async def test_page_around_time_in_log_without_times_is_the_newest(
    log_path: Path, client: Client
) -> None:
    append_lines(log_path, *map(str, range(100)))
    page = await get_page(client, time="2026-11-24T03:30:00Z", limit="2")
    assert (page_texts(page), page["target"]) == (["98", "99"], None)


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


async def test_search_for_a_place_that_takes_too_long_is_not_to_be_repeated(
    log_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_lines(log_path, "2026-11-24T03:00:00 a")
    monkeypatch.setattr(log_pager, "FIND_TIMEOUT_S", 0.0)
    response = await client.get(LINES, params={"time": "2026-11-24T03:00:00"})
    assert (response.status, (await response.json())["code"]) == (422, "read_limit")
    assert "Retry-After" not in response.headers


async def test_log_whose_lines_are_still_counted_is_to_be_requested_again(
    log_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_lines(log_path, "a")
    monkeypatch.setattr(log_handle, "MAX_INDEX_SLICES", 0)
    response = await client.get(LINES)
    assert (response.status, (await response.json())["code"]) == (503, "log_counting")
    assert response.headers["Retry-After"] == "5"
