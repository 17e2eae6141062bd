"""Keyboard use of the page, and state that survives its updates."""

from pathlib import Path

from playwright.async_api import Page, Route, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser
from tests.support.log_view import append_numbered, log_row, scroll_up

IN_THE_MIDDLE = """() => {
  const { top, height } = document.querySelector(".log-rows").getBoundingClientRect();
  const rows = [...document.querySelectorAll(".row.line")];
  const row = rows.find((one) => one.getBoundingClientRect().top > top + height / 2);
  return row.querySelector(".number").textContent;
}"""


async def wait_until_paused(page: Page) -> None:
    """Wait until the log has stopped following."""
    follow = page.get_by_role("button", name="Follow")
    await expect(follow).to_have_attribute("aria-pressed", "false")


async def middle_line(page: Page) -> str:
    """Return the number of the line in the middle of the viewport."""
    return str(await page.evaluate(IN_THE_MIDDLE))


async def test_keyboard_selects_opens_and_copies_lines(user: BrowserUser, log_path: Path) -> None:
    await user.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=user.address)
    log_path.write_text(
        'one\n{"event":"two","order":12345678901234567890}\nth\x1b[31mree\x1b[0m\nfour\n'
    )
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 4)).to_be_visible()
    await page.keyboard.press("k")
    current = page.locator(".row.current .number")
    await expect(current).to_have_text("4")
    await page.keyboard.press("k")
    await page.keyboard.press("x")
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    # The text as written, not as a number of JavaScript.
    await expect(page.locator(".fields")).to_contain_text("12345678901234567890")
    await page.keyboard.press("X")
    await expect(page.locator(".row.selected")).to_have_count(2)
    assert "#L2-L3." in page.url
    await page.keyboard.press("c")
    await expect(page.locator(".log-status")).to_have_text("2 lines copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == '{"event":"two","order":12345678901234567890}\nthree\n'
    await page.keyboard.press("Escape")
    await expect(page.locator(".row.selected")).to_have_count(0)
    assert "#L" not in page.url


async def test_space_presses_the_focused_button(user: BrowserUser, log_path: Path) -> None:
    append_numbered(log_path, 1, 3)
    page = await user.open_page("/jobs/lantern")
    wrap = page.get_by_role("button", name="Wrap")
    await expect(wrap).to_have_attribute("aria-pressed", "true")
    await wrap.focus()
    await page.keyboard.press(" ")
    await expect(wrap).to_have_attribute("aria-pressed", "false")


async def test_copy_after_jump_copies_visible_lines_only(user: BrowserUser, log_path: Path) -> None:
    await user.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=user.address)
    append_numbered(log_path, 1, 3000)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 3000)).to_be_visible()
    await log_row(page, 2995).get_by_role("button").click()
    await page.get_by_label("Search the whole log").fill("line 700 of")
    await page.keyboard.press("Enter")
    await expect(page.locator(".row.current .number")).to_have_text("700")
    await expect(page.locator(".log-status")).to_have_text("Paused")
    await page.locator(".log-rows").focus()
    await page.keyboard.press("c")
    await expect(page.locator(".log-status")).to_contain_text("copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert "line 700 of many" in copied


async def test_focus_and_selection_survive_new_lines(user: BrowserUser, log_path: Path) -> None:
    append_numbered(log_path, 1, 300)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 300)).to_be_visible()
    await scroll_up(page, 900)
    await wait_until_paused(page)
    number = await middle_line(page)
    row = log_row(page, int(number))
    await row.locator(".text").select_text()
    await row.get_by_role("button").focus()
    await page.mouse.wheel(0, -60)
    append_numbered(log_path, 301, 310)
    await expect(page.locator(".new-lines-button")).to_contain_text("10 new lines")
    assert await page.evaluate("document.activeElement.textContent") == number
    assert f"line {number}" in await page.evaluate("String(getSelection())")


async def test_page_connects_if_the_worker_does_not_load(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 1)

    async def refuse(route: Route) -> None:
        await route.abort()

    await user.context.route("**/worker.js*", refuse)
    page = await user.open_page()
    await expect(page.locator(".job")).to_have_count(1, timeout=10_000)


async def test_skip_link_focuses_the_content_and_keeps_the_position(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 300)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 300)).to_be_visible()
    await scroll_up(page, 600)
    await wait_until_paused(page)
    before = await middle_line(page)
    await page.get_by_role("link", name="Skip to content").focus()
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    assert await middle_line(page) == before
    await page.get_by_title("All jobs").click()
    await expect(page.locator(".job")).to_have_count(1)
    assert await page.evaluate("document.activeElement.id") == "main"


async def test_error_message_shows_no_control_characters(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 2)
    conductor.fail_sheet("a", 1, "\x1b[31mred\x1b[0m \u202eabc")
    page = await user.open_page("/jobs/a")
    await expect(page.locator(".job-error")).to_have_text("red \ufffdabc")
    await page.get_by_role("button", name="Sheet 1").click()
    await expect(page.locator(".sheet-panel .error")).to_have_text("red \ufffdabc")


async def test_search_respects_the_level_filter(user: BrowserUser, log_path: Path) -> None:
    log_path.write_text(
        "".join(f"2026-11-24T03:00:00 [info] said {n}\n" for n in range(50))
        + "2026-11-24T03:00:00 [error] said in anger\n"
    )
    page = await user.open_page("/jobs/lantern")
    await page.get_by_label("Search the whole log").fill("said")
    await page.keyboard.press("Enter")
    count = page.locator(".log-search .count")
    await expect(count).to_have_text("1 of 51")
    await page.get_by_label("Level").select_option("error")
    await expect(count).to_have_text("1 of 1")


async def test_linked_range_longer_than_a_page_is_selected(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 3000)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 3000)).to_be_visible()
    await page.keyboard.press("g")
    await log_row(page, 5).get_by_role("button").click()
    check = page.url.partition("#L5.")[2]
    other = await user.open_page(f"/jobs/lantern#L5-L2990.{check}")
    await expect(other.locator(".log-status")).to_have_text("2986 lines selected")
