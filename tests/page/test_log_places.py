"""Log view: jumps to a time, links to lines, filters, and what is said if there is no line."""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Page, Route, expect

from tests.support.browser import BrowserUser
from tests.support.log_view import (
    append_numbered,
    append_text,
    log_row,
    search_for,
    wait_for_numbers,
)


def write_timed_log(log: Path, count: int) -> None:
    """Write lines, one each second from 03:00 on; each 1,000th is an error."""
    append_text(
        log,
        "".join(
            f"2026-11-24T{3 + n // 3600:02}:{n // 60 % 60:02}:{n % 60:02} "
            f"[{'info' if n % 1000 else 'error'}] line {n}\n"
            for n in range(1, count + 1)
        ),
    )


async def go_to_time(page: Page, time: str) -> None:
    """Go to a time."""
    await page.get_by_role("button", name="Go to time").click()
    await page.get_by_label("Go to").fill(time)
    await page.get_by_role("button", name="Go", exact=True).click()


async def test_jump_to_time_shows_first_line_of_that_time(
    user: BrowserUser, log_path: Path
) -> None:
    write_timed_log(log_path, 9000)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 9000)).to_be_visible()
    await page.locator(".log-rows").focus()
    await page.keyboard.press("d")
    field = page.get_by_label("Go to")
    await expect(field).to_be_focused()
    assert (await field.input_value()).startswith("2026-11-24T05:")
    await expect(page.locator(".log-jump")).to_contain_text("as the lines show it")
    await field.fill("2026-11-24T03:20:30")
    await page.keyboard.press("Enter")
    await expect(page.locator(".row.current .number")).to_have_text("1230")
    await expect(page.locator(".log-jump")).to_be_hidden()
    await go_to_time(page, "2026-11-25T00:00:00")
    await expect(page.locator(".log-note")).to_contain_text("no line of this time or later")
    await expect(log_row(page, 9000)).to_be_visible()
    await page.get_by_role("button", name="Close").click()
    await expect(page.locator(".log-note")).to_be_hidden()


async def test_short_link_tells_if_the_line_is_another_one(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 3000)
    page = await user.open_page("/jobs/lantern#L6-L9")
    await expect(page.locator(".row.selected")).to_have_count(4)
    await expect(page.locator(".row.current .number")).to_have_text("6")
    await expect(page.locator(".log-note")).to_be_hidden()
    await log_row(page, 7).get_by_role("button").click()
    fragment = page.url.partition("#")[2]
    assert fragment.startswith("L7.")
    log_path.write_text("")
    append_numbered(log_path, 101, 200)
    other = await user.open_page(f"/jobs/lantern#{fragment}")
    await expect(other.locator(".log-note")).to_contain_text(
        "Line 7 is not the line that this link was made for"
    )
    await expect(other.locator(".row.current .text")).to_contain_text("line 107 of many")
    gone = await user.open_page("/jobs/lantern#L5000")
    await expect(gone.locator(".log-note")).to_contain_text(
        "Line 5000 could not be found in the log."
    )
    await expect(gone.locator(".row .text", has_text="line 200 of many")).to_be_visible()


async def test_jump_to_time_after_rotation_finds_the_line_in_the_rotated_file(
    user: BrowserUser, log_path: Path
) -> None:
    write_timed_log(log_path, 3000)
    log_path.rename(log_path.with_name("marianne.log.1"))
    log_path.write_text("no times\n")
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 1)).to_be_visible()
    await go_to_time(page, "2026-11-24T03:20:30")
    await expect(page.locator(".row.current .number")).to_have_text("1230")
    await expect(page.locator(".log-note")).to_be_hidden()


async def test_jump_to_time_with_a_level_goes_to_the_next_line_of_that_level(
    user: BrowserUser, log_path: Path
) -> None:
    write_timed_log(log_path, 9000)
    page = await user.open_page("/jobs/lantern")
    await page.get_by_label("Level").select_option("error")
    await wait_for_numbers(page, range(1000, 9001, 1000))
    await go_to_time(page, "2026-11-24T03:20:30")
    await expect(page.locator(".row.current .number")).to_have_text("2000")
    note = page.locator(".log-note")
    await expect(note).to_be_hidden()
    append_text(log_path, "2026-11-24T09:00:00 [info] the last\n")
    await go_to_time(page, "2026-11-24T06:00:00")
    # The log has such a line.
    await expect(note).to_contain_text("No line that is shown gives this time or a later one.")


async def test_link_to_a_line_that_a_level_hides_shows_all_lines(
    user: BrowserUser, log_path: Path
) -> None:
    write_timed_log(log_path, 3000)
    page = await user.open_page("/jobs/lantern")
    await page.get_by_label("Level").select_option("error")
    await search_for(page, "line")
    await page.get_by_role("button", name="Only matches").click()
    await wait_for_numbers(page, [1000, 2000, 3000])
    await page.evaluate("location.hash = '#L6-L9'")
    await expect(page.locator(".row.selected .number")).to_have_text(["6", "7", "8", "9"])
    await expect(page.locator(".log-note")).to_contain_text("All lines are shown, for the link.")
    await expect(page.get_by_label("Level")).to_have_value("")
    await expect(page.get_by_role("button", name="Only matches")).to_have_attribute(
        "aria-pressed", "false"
    )
    await expect(page).to_have_url(re.compile("#L6-L9$"))
    await expect(log_row(page, 10)).to_be_visible()


async def test_link_to_a_line_that_is_shown_brings_back_those_that_a_level_hides(
    user: BrowserUser, log_path: Path
) -> None:
    write_timed_log(log_path, 3000)
    page = await user.open_page("/jobs/lantern")
    await page.get_by_label("Level").select_option("error")
    await wait_for_numbers(page, [1000, 2000, 3000])
    await log_row(page, 2000).locator(".number").click()
    link = urlsplit(page.url).fragment
    await page.get_by_role("heading", name="Log").click()
    await page.evaluate("history.replaceState(null, '', location.pathname)")
    await page.evaluate("link => { location.hash = link }", link)
    await expect(page.get_by_label("Level")).to_have_value("")
    await expect(page.locator(".row.selected .number")).to_have_text(["2000"])
    await expect(log_row(page, 2001)).to_be_visible()
    assert urlsplit(page.url).fragment == link


async def test_jump_to_time_in_a_log_without_times_says_so(
    user: BrowserUser, log_path: Path
) -> None:
    log_path.write_text("no\ntimes\n")
    page = await user.open_page("/jobs/lantern")
    await go_to_time(page, "2026-11-24T03:20:30")
    await expect(page.locator(".log-note")).to_contain_text("The lines of this log give no times.")


async def test_time_with_a_year_of_five_digits_is_refused(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 3)
    page = await user.open_page("/jobs/lantern")
    await page.get_by_role("button", name="Go to time").click()
    field = page.get_by_label("Go to")
    await field.evaluate("field => { field.value = '20261-01-01T00:00' }")
    await page.get_by_role("button", name="Go", exact=True).click()
    assert await field.evaluate("field => field.validity.rangeOverflow")
    await expect(page.locator(".log-jump")).to_be_visible()


async def test_link_keeps_the_stream_that_counts_new_lines(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 3000)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 3000)).to_be_visible()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    await page.evaluate("location.hash = '#L6-L9'")
    await expect(page.locator(".row.selected .number")).to_have_text(["6", "7", "8", "9"])
    append_numbered(log_path, 3001, 3001)
    await expect(page.locator(".new-lines-button")).to_have_text("↓ 1 new line")
    # No request asks where the log ends: lines before the answer would come twice.
    assert [url for url in requests if "limit=1&" in f"{url}&"] == []


async def test_range_that_is_too_long_to_load_is_selected_in_part(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 12_500)
    page = await user.open_page("/jobs/lantern#L1-L12400")
    await expect(page.locator(".log-note")).to_contain_text(
        "Only the first of these lines are selected."
    )
    await expect(page.locator(".log-status")).to_contain_text("lines selected")
    assert int((await page.locator(".log-status").inner_text()).split()[0].replace(",", "")) > 9_000


async def test_invalid_expression_filters_nothing_and_leaves_the_streams_alive(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 30)
    page = await user.open_page("/jobs/lantern")
    await page.get_by_label("Regular expression").click()
    await search_for(page, "(")
    count = page.locator(".log-search .count")
    await expect(count).to_contain_text("regex")
    await page.get_by_role("button", name="Only matches").click()
    append_numbered(log_path, 31, 31)
    await expect(log_row(page, 31)).to_be_visible()
    await search_for(page, "line 1[0-2] of")
    await wait_for_numbers(page, [10, 11, 12])
    append_text(log_path, "a line 10 of this log\n")
    await wait_for_numbers(page, [10, 11, 12, 32])
    await search_for(page, "line [")
    await expect(count).to_contain_text("regex")
    await wait_for_numbers(page, range(1, 33))
    append_numbered(log_path, 33, 33)
    await expect(log_row(page, 33)).to_be_visible()


async def test_log_in_which_nothing_matches_says_so(user: BrowserUser, log_path: Path) -> None:
    append_numbered(log_path, 1, 30)
    page = await user.open_page("/jobs/lantern")
    status = page.locator(".log-status")
    await page.get_by_label("Level").select_option("error")
    await expect(status).to_have_text("No line has this level")
    await page.get_by_label("Level").select_option("")
    await expect(log_row(page, 30)).to_be_visible()
    await search_for(page, "no such thing")
    await page.get_by_role("button", name="Only matches").click()
    await expect(status).to_have_text("No line of this log matches")


async def test_log_whose_newest_pages_hold_no_match_shows_the_older_ones(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 30)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 30)).to_be_visible()

    async def answer(route: Route) -> None:
        """Answer as a search that stops by time before it finds a line."""
        response = await route.fetch()
        body = await response.json()
        if "before" not in parse_qs(urlsplit(route.request.url).query):
            body |= {"before": body["lines"][-1]["cursor"], "lines": [], "stopped_by": "time"}
        await route.fulfill(response=response, json=body)

    await page.route("**/logs/lines*", answer)
    await page.get_by_label("Level").select_option("info")
    await wait_for_numbers(page, range(1, 30))
