"""Copying from the log, of which only some rows are in the page."""

from pathlib import Path

from playwright.async_api import Page, expect

from tests.support.browser import BrowserUser
from tests.support.log_view import append_numbered, log_row, scroll_up
from tests.support.waiting import wait_for_value

READ_CLIPBOARD = "navigator.clipboard.readText()"


async def open_log(user: BrowserUser, log: Path, count: int) -> Page:
    """Open the page with a log of some lines."""
    await user.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=user.address)
    append_numbered(log, 1, count)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, count)).to_be_visible()
    return page


def expected_lines(log: Path, first: int, last: int) -> str:
    """Return lines of the log, by number."""
    return "".join(log.read_text().splitlines(keepends=True)[first - 1 : last])


async def test_mouse_selection_over_many_screens_copies_all_its_lines(
    user: BrowserUser, log_path: Path
) -> None:
    page = await open_log(user, log_path, 900)
    await page.keyboard.press("g")
    await expect(log_row(page, 1)).to_be_visible()
    start = await wait_for_value(log_row(page, 5).locator(".text").bounding_box, bool)
    await page.mouse.move(start["x"] + 40, start["y"] + 8)
    await page.mouse.down()
    await page.mouse.move(start["x"] + 60, start["y"] + 60, steps=4)
    # While the button is held, the wheel scrolls, and new lines come.
    for _ in range(10):
        await page.mouse.wheel(0, 900)
        await page.wait_for_timeout(60)
    append_numbered(log_path, 901, 950)
    assert await log_row(page, 5).get_attribute("class") == "row line pinned"
    box = await wait_for_value(page.locator(".log-rows").bounding_box, bool)
    await page.mouse.move(start["x"] + 60, box["y"] + 200, steps=4)
    await page.mouse.up()
    last = int(await page.evaluate(LAST_SELECTED_NUMBER))
    assert last > 300
    await page.keyboard.press("Control+c")
    assert await page.evaluate(READ_CLIPBOARD) == expected_lines(log_path, 5, last)
    await expect(page.locator(".log-status")).to_have_text(f"{last - 4} lines copied")
    await expect(page.locator(".new-lines-button")).to_be_visible()


# Number of the line in which the browser's selection ends.
LAST_SELECTED_NUMBER = """() => {
  const end = getSelection().getRangeAt(0).endContainer;
  const element = end instanceof Element ? end : end.parentElement;
  return element.closest(".row").querySelector(".number").textContent;
}"""


async def test_selection_stays_while_its_rows_are_drawn_anew(
    user: BrowserUser, log_path: Path
) -> None:
    page = await open_log(user, log_path, 20)
    await page.evaluate(SELECT_LINES, [7, 9])
    selected = await page.evaluate("getSelection().toString()")
    await page.keyboard.press("z")
    await page.keyboard.press("w")
    await expect(page.locator(".log-rows")).to_have_attribute("data-wrap", "off")
    assert await page.evaluate("getSelection().toString()") == selected
    await page.keyboard.press("Control+c")
    assert await page.evaluate(READ_CLIPBOARD) == expected_lines(log_path, 7, 9)


# Selects from within the text of a line to within that of another, backwards.
SELECT_LINES = """([first, last]) => {
  const [from, to] = [first, last].map((number) => {
    const rows = [...document.querySelectorAll(".row.line")];
    const row = rows.find((one) => one.querySelector(".number").textContent === String(number));
    return row.querySelector(".text").firstChild;
  });
  getSelection().setBaseAndExtent(to, 5, from, 3);
}"""


async def test_part_of_a_line_is_copied_as_it_is(user: BrowserUser, log_path: Path) -> None:
    page = await open_log(user, log_path, 20)
    await log_row(page, 7).locator(".text").dblclick(position={"x": 5, "y": 8})
    await page.keyboard.press("Control+c")
    assert (await page.evaluate(READ_CLIPBOARD)).strip() == "line"


async def test_select_all_selects_lines_of_the_log_only(user: BrowserUser, log_path: Path) -> None:
    page = await open_log(user, log_path, 700)
    await page.locator(".log-rows").focus()
    await page.keyboard.press("Control+a")
    await expect(page.locator(".log-status")).to_have_text("700 lines selected")
    await page.keyboard.press("Control+c")
    assert await page.evaluate(READ_CLIPBOARD) == log_path.read_text()
    await scroll_up(page, 300)
    await page.keyboard.press("Escape")
    await expect(page.locator(".row.selected")).to_have_count(0)


async def test_select_all_says_if_lines_are_not_loaded(user: BrowserUser, log_path: Path) -> None:
    page = await open_log(user, log_path, 5000)
    await page.locator(".log-rows").focus()
    await page.keyboard.press("Control+a")
    await expect(page.locator(".log-note")).to_contain_text("Only the lines that are loaded")
    await page.keyboard.press("Control+c")
    copied = (await page.evaluate(READ_CLIPBOARD)).splitlines()
    assert copied == log_path.read_text().splitlines()[-len(copied) :]
    # At the start, newer lines are not loaded. A key of the log gives it the focus.
    await page.get_by_role("button", name="Close").click()
    await page.locator("h2", has_text="Log").click()
    await page.keyboard.press("g")
    await expect(log_row(page, 1)).to_be_visible()
    await page.keyboard.press("j")
    await page.keyboard.press("Control+a")
    await expect(page.locator(".log-note")).to_contain_text("Only the lines that are loaded")
    await page.keyboard.press("Control+c")
    copied = (await page.evaluate(READ_CLIPBOARD)).splitlines()
    assert copied == log_path.read_text().splitlines()[: len(copied)]
