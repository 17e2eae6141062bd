"""Reading and copying in the view of several jobs' logs."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from tests.support.browser import BrowserUser
from tests.support.log_view import append_at, append_series, scroll_up
from tests.support.waiting import wait_for_value

READ_CLIPBOARD = "navigator.clipboard.readText()"

BOTH = "/logs?job=lantern&job=tide"

# Keeps each address that the page gives itself.
RECORD_ADDRESSES = """() => {
  const replace = history.replaceState.bind(history);
  window.addresses = [];
  history.replaceState = (...values) => {
    window.addresses.push(String(values[2]));
    replace(...values);
  };
}"""


async def open_logs(user: BrowserUser, url: str = BOTH) -> Page:
    """Open the page at a view of logs, with access to the clipboard."""
    await user.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=user.address)
    return await user.open_page(url)


def merge_lines(log: Path, other: Path) -> list[str]:
    """Return what is copied of the logs of `lantern` and `tide`, in the order of their times."""
    lines = [f"lantern | {line}" for line in log.read_text().splitlines()]
    lines += [f"tide | {line}" for line in other.read_text().splitlines()]
    return sorted(lines, key=lambda line: line.split(" | ")[1].split(" ")[0])


async def read_shown(page: Page) -> list[str]:
    """Return the lines that are in the page, in order."""
    return await page.locator(".row.line .text").all_inner_texts()


async def test_reader_scrolls_back_to_the_first_lines_of_all_jobs(
    log_path: Path, other_log_path: Path, user: BrowserUser
) -> None:
    append_series(log_path, 1500, "even", start_s=0)
    append_series(other_log_path, 1500, "odd", start_s=1)
    page = await open_logs(user)
    await expect(page.get_by_text("odd 1500", exact=True)).to_be_in_viewport()
    first = page.get_by_text("even 1", exact=True)

    async def is_at_start() -> bool:
        await scroll_up(page, 8000)
        shown = await read_shown(page)
        numbers = [2 * int(text.split()[1]) - (text[0] == "e") for text in shown]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        return await first.is_visible()

    await wait_for_value(is_at_start, bool)
    await page.keyboard.press("G")
    await expect(page.get_by_text("odd 1500", exact=True)).to_be_in_viewport()
    await page.keyboard.press("g")
    await expect(first).to_be_in_viewport()
    await page.keyboard.press("G")
    append_at(log_path, 59)
    await expect(page.locator(".log-status")).to_have_text("Following")


async def test_reader_goes_to_a_time_in_all_logs_and_on_to_their_ends(
    log_path: Path, other_log_path: Path, user: BrowserUser
) -> None:
    append_series(log_path, 3000, "even", start_s=0)
    append_series(other_log_path, 3000, "odd", start_s=1)
    page = await open_logs(user)
    await expect(page.get_by_text("odd 3000", exact=True)).to_be_in_viewport()
    await page.keyboard.press("z")
    await page.keyboard.press("d")
    await page.get_by_label("Go to").fill("2026-11-24T03:20:01")
    await page.keyboard.press("Enter")
    await expect(page.locator(".row.current .text")).to_have_text("odd 601")
    assert page.url.endswith("&time=2026-11-24T03%3A20%3A01Z")
    await page.reload()
    await expect(page.locator(".row.current .text")).to_have_text("odd 601")
    end = page.get_by_text("odd 3000", exact=True)

    async def is_at_end() -> bool:
        await scroll_up(page, -12_000)
        shown = await read_shown(page)
        numbers = [2 * int(text.split()[1]) - (text[0] == "e") for text in shown]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        return await end.is_visible()

    await wait_for_value(is_at_end, bool)
    with other_log_path.open("a", encoding="utf-8") as file:
        file.write("2026-11-24T04:50:00Z [info] new\n")
    await page.keyboard.press("G")
    await expect(page.get_by_text("new", exact=True)).to_be_in_viewport()


async def test_selected_line_stays_selected_when_an_earlier_one_comes(
    log_path: Path, other_log_path: Path, user: BrowserUser
) -> None:
    append_at(log_path, 1, 5, 9)
    append_at(other_log_path, 2)
    page = await open_logs(user)
    await expect(page.locator(".row.line")).to_have_count(4)
    await page.get_by_role("button", name="Line 2", exact=True).click()
    selected = page.locator(".row.selected .text")
    await expect(selected).to_have_text("at 5")
    append_at(other_log_path, 3, 4)
    await expect(page.locator(".row.line")).to_have_count(6)
    await expect(selected).to_have_text("at 5")
    await page.keyboard.press("Shift+X")
    await page.keyboard.press("c")
    await expect(page.locator(".log-status")).to_have_text("1 line copied")
    assert await page.evaluate(READ_CLIPBOARD) == "lantern | 2026-11-24T03:00:05Z [info] at 5\n"
    # Its button still names it.
    await page.locator(".row", has_text="at 9").locator(".number").click()
    await expect(selected).to_have_text("at 9")


async def test_mouse_selection_copies_its_lines_while_earlier_ones_come(
    log_path: Path, other_log_path: Path, user: BrowserUser
) -> None:
    append_series(log_path, 400, "even", start_s=0)
    append_series(other_log_path, 300, "odd", start_s=1)
    page = await open_logs(user)
    await expect(page.get_by_text("even 400", exact=True)).to_be_in_viewport()
    await scroll_up(page, 3000)
    text = await wait_for_value(page.locator(".row .text").first.bounding_box, bool)
    rows = await wait_for_value(page.locator(".log-rows").bounding_box, bool)
    x, top = text["x"] + 10, rows["y"]
    await page.mouse.move(x, top + 40)
    await page.mouse.down()
    await page.mouse.move(x + 30, top + 100, steps=4)
    begin = await page.evaluate(SELECTED_TEXT, "startContainer")
    for _ in range(4):
        await page.mouse.wheel(0, 400)
        await page.wait_for_timeout(60)
    with other_log_path.open("a", encoding="utf-8") as file:
        file.write("2026-11-24T03:10:02Z [info] inserted\n")
    await expect(page.locator(".new-lines-button")).to_have_text("↓ 1 new line")
    await page.mouse.move(x + 30, top + 180, steps=4)
    await page.mouse.up()
    assert await page.evaluate(SELECTED_TEXT, "startContainer") == begin
    end = await page.evaluate(SELECTED_TEXT, "endContainer")
    await page.keyboard.press("Control+c")
    copied = (await page.evaluate(READ_CLIPBOARD)).splitlines()
    expected = merge_lines(log_path, other_log_path)
    first = next(at for at, line in enumerate(expected) if line.endswith(begin))
    assert copied == expected[first : first + len(copied)]
    # The last row may be selected up to its beginning only.
    assert any(line.endswith(end) for line in expected[first + len(copied) - 1 :][:2])
    assert len(copied) > 60


# Text of the row in which the browser's selection begins or ends.
SELECTED_TEXT = """(which) => {
  const node = getSelection().getRangeAt(0)[which];
  const element = node instanceof Element ? node : node.parentElement;
  return element.closest(".row").querySelector(".text").textContent;
}"""


async def test_lines_stay_in_place_under_a_reader_when_earlier_ones_come(
    log_path: Path, other_log_path: Path, user: BrowserUser
) -> None:
    append_series(log_path, 300, "even", start_s=0)
    append_at(other_log_path, 1)
    page = await open_logs(user)
    await expect(page.get_by_text("even 300", exact=True)).to_be_in_viewport()
    await scroll_up(page, 2000)
    row = page.get_by_text("even 190", exact=True)
    await expect(row).to_be_in_viewport()
    before = await wait_for_value(row.bounding_box, bool)
    append_at(other_log_path, *range(2, 50))
    await expect(page.locator(".new-lines-button")).to_have_text("↓ 48 new lines")
    # The browser rounds scroll positions.
    after = await wait_for_value(row.bounding_box, bool)
    assert abs(after["y"] - before["y"]) < 1


async def test_select_all_copies_the_lines_of_all_jobs(
    log_path: Path, other_log_path: Path, user: BrowserUser
) -> None:
    append_series(log_path, 200, "even", start_s=0)
    append_series(other_log_path, 200, "odd", start_s=1)
    page = await open_logs(user)
    await expect(page.get_by_text("odd 200", exact=True)).to_be_in_viewport()
    # Wherever the focus is, but not in a field.
    await page.get_by_label("Only lines with this text").press("Control+a")
    await expect(page.locator(".log-status")).to_have_text("Following")
    await page.get_by_role("button", name="Wrap").press("Control+a")
    await expect(page.locator(".log-status")).to_have_text("400 lines selected")
    await page.keyboard.press("Control+c")
    copied = (await page.evaluate(READ_CLIPBOARD)).splitlines()
    assert copied == merge_lines(log_path, other_log_path)
    await expect(page.locator(".log-note:not([hidden])")).to_have_count(0)


async def test_select_all_says_that_older_lines_are_not_loaded(
    log_path: Path, other_log_path: Path, user: BrowserUser
) -> None:
    append_series(log_path, 3000, "even", start_s=0)
    append_at(other_log_path, 1)
    page = await open_logs(user)
    await expect(page.get_by_text("even 3000", exact=True)).to_be_in_viewport()
    await page.locator(".log-rows").focus()
    await page.keyboard.press("Control+a")
    await expect(page.locator(".log-note:not([hidden])")).to_contain_text("Only the lines")


@pytest.mark.parametrize("width", [390, 820])
async def test_name_of_the_job_and_time_are_shown_on_narrow_screens(
    log_path: Path, other_log_path: Path, user: BrowserUser, width: int
) -> None:
    append_at(log_path, 1, 3)
    append_at(other_log_path, 2)
    page = await open_logs(user)
    await page.set_viewport_size({"width": width, "height": 844})
    await expect(page.locator(".row.line")).to_have_count(3)
    for part in (".job-name", "time", ".text"):
        await expect(page.locator(f".row.line {part}").first).to_be_visible()
    boxes = [
        await wait_for_value(page.locator(f".row.line {part}").first.bounding_box, bool)
        for part in (".job-name", "time")
    ]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    # A line of an entry has neither on a phone.
    with log_path.open("a", encoding="utf-8") as file:
        file.write("Traceback\n")
    continued = page.locator(".row.continued")
    await expect(continued).to_have_text(re.compile("Traceback"))
    if width == 390:
        await expect(continued.locator(".job-name")).to_be_hidden()
    toggle = page.get_by_role("button", name="Times")
    await toggle.click()
    await expect(page.locator(".row.line time").first).to_be_hidden()


async def test_count_of_a_folded_entry_does_not_cover_the_level_on_a_phone(
    log_path: Path, user: BrowserUser
) -> None:
    log_path.write_text("2026-11-24T03:00:00Z [error] failed\n" + "  at\n" * 180)
    page = await open_logs(user, "/logs?job=lantern")
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.get_by_role("button", name="Fold").click()
    toggle = page.locator(".entry-toggle")
    await expect(toggle).to_have_text("▸ 180")
    left = await toggle.evaluate("(toggle) => toggle.getBoundingClientRect().left")
    right = await page.locator(".row .level").first.evaluate(
        """(level) => {
          const text = document.createRange();
          text.selectNodeContents(level);
          return text.getBoundingClientRect().right;
        }"""
    )
    assert right <= left


async def test_log_that_cannot_be_read_at_a_time_is_left_out_and_told(
    log_path: Path, other_log_path: Path, user: BrowserUser
) -> None:
    append_series(log_path, 100, "even", start_s=0)
    append_series(other_log_path, 100, "odd", start_s=1)
    requests: list[str] = []

    async def refuse(route: Route) -> None:
        requests.append(route.request.url)
        body = {"detail": "Too many lines give no time.", "code": "read_limit"}
        await route.fulfill(status=422, json=body)

    await user.context.route("**/api/jobs/tide/logs/lines*time=*", refuse)
    page = await open_logs(user, f"{BOTH}&time=2026-11-24T03:00:20Z")
    note = page.locator(".log-note").filter(has_text="tide: Too many lines give no time.")
    await expect(note).to_be_visible()
    await expect(page.get_by_text("even 11", exact=True)).to_be_visible()
    assert len(requests) == 1


async def test_time_without_a_zone_is_one_moment_in_all_logs(
    log_path: Path, other_log_path: Path, user: BrowserUser
) -> None:
    log_path.write_text("2026-11-24T03:00:00 [info] local\n2026-11-24T03:20:00 [info] later\n")
    other_log_path.write_text("2026-11-24T03:10:00Z [info] zoned\n")
    page = await open_logs(user)
    await expect(page.get_by_text("later", exact=True)).to_be_visible()
    await page.keyboard.press("d")
    await page.get_by_label("Go to").fill("2026-11-24T03:20:01")
    # The view follows its end right after: then, the address has no time.
    await page.evaluate(RECORD_ADDRESSES)
    await page.keyboard.press("Enter")
    # The offset of the server's local time.
    zoned = re.compile(r"time=2026-11-24T03%3A20%3A01(%2B|-)\d\d%3A\d\d$")
    await wait_for_value(
        lambda: page.evaluate("() => window.addresses"),
        lambda addresses: any(map(zoned.search, addresses)),
    )
