"""Keyboard use of the page, and state that survives its updates."""

import re
from pathlib import Path

from playwright.async_api import Locator, Page, Route, expect

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
    await expect(other.locator(".log-status")).to_have_text("2,986 lines selected")


async def press_until(page: Page, key: str, target: Locator) -> None:
    """Press a key until an element is in the page."""
    for _ in range(60):
        if await target.count():
            return
        await page.keyboard.press(key)
        # Lines are drawn in the next frame.
        await page.evaluate("new Promise(requestAnimationFrame)")
    raise AssertionError(f"{key} does not reach {target}")


async def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until an element has the focus."""
    await expect(target).to_have_count(1)
    for _ in range(60):
        await page.keyboard.press("Tab")
        if await target.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not reach {target}")


async def press(page: Page, *keys: str) -> None:
    """Press keys one after the other."""
    for key in keys:
        await page.keyboard.press(key)


async def operate_list(page: Page) -> None:
    """Filter, sort, mark a failure as seen, choose notifications, and open a job."""
    await expect(page.locator(".job")).to_have_count(3)
    await press(page, "/")
    await page.keyboard.type("lan")
    await expect(page.locator(".job")).to_have_count(1)
    await press(page, "Escape")
    await expect(page.locator(".job")).to_have_count(3)
    chip = page.locator(".chip", has_text="running")
    await tab_to(page, chip)
    await press(page, "Space")
    await expect(chip).to_have_attribute("aria-pressed", "true")
    await press(page, "Space")
    column = page.locator(".columns button", has_text="Duration")
    await tab_to(page, column)
    await press(page, "Enter")
    await expect(column).to_have_attribute("aria-pressed", "true")
    notify = page.locator(".notify")
    await tab_to(page, notify)
    await press(page, "Enter")
    box = page.get_by_role("checkbox").first
    await tab_to(page, box)
    await press(page, "Space")
    await expect(box).to_be_checked()
    await press(page, "Escape")
    await expect(notify).to_be_focused()
    seen = page.get_by_role("button", name="Seen: failure of broken")
    await tab_to(page, seen)
    await press(page, "Enter")
    await expect(page.locator("[data-section=done] .job", has_text="broken")).to_have_count(1)
    await press(page, "g")
    await press_until(page, "j", page.locator(".name:focus", has_text="lantern"))
    await press(page, "Enter")
    await expect(page.locator(".job-header h1")).to_have_text("lantern")


async def operate_sheets(page: Page) -> None:
    """Open a sheet, copy its error, and close it."""
    first = page.locator(".sheet[aria-label^='Sheet 1,']")
    await expect(first).to_be_visible()
    await tab_to(page, first)
    await press(page, "ArrowDown", "Enter")
    panel = page.locator(".sheet-panel")
    await expect(panel.locator("h2")).to_have_text("Sheet 2")
    copy = panel.get_by_role("button", name="Copy the error")
    await tab_to(page, copy)
    await press(page, "Enter")
    await expect(page.locator("#announcer")).to_have_text("Copied.")
    await press(page, "Escape")
    await expect(panel).to_be_hidden()
    await expect(page.locator(".sheet:focus")).to_have_attribute(
        "aria-label", re.compile("Sheet 2")
    )


async def operate_timeline(page: Page) -> None:
    """Move in the timeline by arrows, open an event, and choose another group of events."""
    heads = page.locator(".timeline .head")
    assert await heads.count() > 3
    await expect(page.locator(".timeline .head[tabindex='0']")).to_have_count(1)
    await tab_to(page, heads.first)
    await press(page, "ArrowDown", "ArrowDown", "ArrowUp")
    await expect(heads.nth(1)).to_be_focused()
    await press(page, "Enter")
    await expect(page.locator(".timeline details[open] pre")).to_be_visible()
    await press(page, "End")
    await expect(heads.last).to_be_focused()
    # Tab leaves the events with one step.
    await press(page, "Tab")
    assert not await page.locator(".timeline :focus").count()
    group = page.get_by_label("Event group")
    await tab_to(page, group)
    await press(page, "ArrowDown")
    await expect(group).not_to_have_value("job")
    # Letters are shortcuts here as well.
    wrap = page.get_by_role("button", name="Wrap")
    await press(page, "w")
    await expect(wrap).to_have_attribute("aria-pressed", "false")
    await press(page, "w")


async def operate_log(page: Page) -> None:
    """Search, filter, jump, open fields and entries, select, copy, and choose a level."""
    await press(page, "/")
    await page.keyboard.type("needle")
    await press(page, "Enter")
    await expect(page.locator(".row.current .text")).to_contain_text("needle")
    await tab_to(page, page.get_by_role("button", name="Only matches"))
    await press(page, "Space")
    await expect(page.locator(".row.line")).to_have_count(1)
    await press(page, "m", "/", "Escape", "d")
    await expect(page.get_by_label("Go to")).to_be_focused()
    await press(page, "Escape")
    await expect(page.locator(".log-rows")).to_be_focused()
    await press(page, "g")
    await expect(page.get_by_label("Line 2", exact=True)).to_be_in_viewport()
    line = page.locator(".row.current", has=page.get_by_label("Line 2", exact=True))
    await press_until(page, "k", line)
    await expect(page.locator("#announcer")).to_contain_text("Line 2, error: failed")
    # Line 2 is a JSON line with a link and a traceback: each has a control of its own.
    fields = page.locator(".row.current .fields-toggle")
    await press(page, "Tab", "Tab")
    await expect(fields).to_be_focused()
    await press(page, "Enter")
    await expect(page.locator(".row.current .fields")).to_be_visible()
    await expect(fields).to_be_focused()
    await press(page, "Tab")
    await expect(page.locator(".row.current a.link:focus")).to_have_count(1)
    await press(page, "Shift+Tab", "Shift+Tab")
    await expect(page.locator(".row.current .entry-toggle")).to_be_focused()
    await press(page, "Enter")
    await expect(page.locator(".row.line", has_text="Traceback")).to_have_count(0)
    await expect(page.locator(".row.current .entry-toggle")).to_be_focused()
    await press(page, "Enter", "x", "j", "X", "c")
    await expect(page.locator(".log-status")).to_have_text("2 lines copied")
    await press(page, "Escape")
    level = page.get_by_label("Level")
    await tab_to(page, level)
    await press(page, "End")
    await expect(level).to_have_value("error")
    await press(page, "Home")
    await expect(level).to_have_value("")


async def operate_logs(page: Page) -> None:
    """Add the log of another job, and remove it."""
    await tab_to(page, page.get_by_role("link", name="Add a job"))
    await press(page, "Enter")
    choice = page.get_by_label("Job to add")
    await tab_to(page, choice)
    await expect(choice).to_have_value("broken")
    await press(page, "ArrowDown")
    await expect(choice).to_have_value("moss")
    assert page.url.endswith("/logs?job=lantern")
    await press(page, "Tab", "Enter")
    await expect(page.locator(".log-job")).to_have_count(2)
    await tab_to(page, page.get_by_role("button", name="Remove moss"))
    await press(page, "Enter")
    await expect(page.locator(".log-job")).to_have_count(1)


async def test_keyboard_operates_everything(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    await user.context.grant_permissions(
        ["clipboard-read", "clipboard-write", "notifications"], origin=user.address
    )
    fields = '{"event":"failed, see https://example.org/a","level":"error","order":7}'
    log_path.write_text(f"first\n{fields}\nTraceback\n  needle\n" + "[info] more\n" * 40)
    conductor.launch("moss", 2)
    conductor.launch("broken", 2)
    conductor.finish("broken", "failed")
    page = await user.open_page("/")
    await press(page, "Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    await press(page, "Enter")
    await expect(page.locator("main")).to_be_focused()
    await operate_list(page)
    conductor.fail_sheet("lantern", 2, "The wind took it")
    for number in range(5):
        conductor.emit("lantern", "job.noted", {"number": number})
    await expect(page.locator(".event", has_text="job.noted")).to_have_count(5)
    await operate_sheets(page)
    await operate_timeline(page)
    await tab_to(page, page.get_by_role("link", name="Skip to the log"))
    await press(page, "Enter")
    await expect(page.locator(".log-rows")).to_be_focused()
    await operate_log(page)
    await operate_logs(page)
    zone = page.locator("#zone")
    await tab_to(page, zone)
    await press(page, "Enter")
    await expect(zone).to_contain_text("UTC")
    await press(page, "?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await press(page, "Escape", "u")
    await expect(page.locator(".job")).to_have_count(3)
