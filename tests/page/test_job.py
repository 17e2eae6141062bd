"""Job view in a browser: head, sheets and timeline."""

import re

import pytest
from playwright.async_api import expect

from marianne_stream.demo.sheet_operations import SheetOutput
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser, find_too_wide

MOVEMENTS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 2, 6: 3}


async def test_gantt_groups_sheets_by_movement_and_updates(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 6, movements=MOVEMENTS)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".movement")).to_have_text(
        ["Movement 1 · 0 of 2", "Movement 2 · 0 of 3", "Movement 3 · 0 of 1"]
    )
    await expect(page.locator(".sheet")).to_have_count(6)
    await expect(page.locator(".segment[style]")).to_have_count(0)
    conductor.dispatch("moss", 1)
    first, second = page.locator(".sheet").nth(0), page.locator(".sheet").nth(1)
    await expect(first.locator(".segment")).to_have_count(1)
    conductor.complete_sheet("moss", 1)
    conductor.dispatch("moss", 2)
    await expect(first).to_have_attribute("data-tone", "completed")
    await expect(second).to_have_attribute("data-tone", "running")
    await expect(page.locator(".movement").first).to_have_text("Movement 1 · 1 of 2")
    await expect(page.locator(".job-header .count")).to_have_text("1 / 6")
    await expect(page.locator(".facts")).to_contain_text("sheet 2")


async def test_running_bar_grows_and_retries_are_segments(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    page = await user.open_page("/jobs/moss")
    sheet = page.locator(".sheet").first
    await expect(sheet).to_be_visible()
    # A start that nobody saw is unknown.
    conductor.dispatch("moss", 1)
    await expect(page.locator(".now-line")).to_be_visible()
    await expect(page.locator(".gantt-row .duration").first).to_have_text(
        re.compile(r"^([2-9]|\d\d) s$")
    )
    conductor.schedule_retry("moss", 1)
    await expect(sheet.locator(".segment[data-failed]")).to_have_count(1)
    await expect(sheet.locator(".segment[data-kind=wait]")).to_have_count(1)
    conductor.dispatch("moss", 1)
    await expect(sheet.locator(".segment")).to_have_count(3)
    conductor.complete_sheet("moss", 1)
    await expect(sheet).to_have_attribute("data-tone", "completed")
    # Another browser has not seen them: they come from the recorded history.
    other = await user.open_page("/jobs/moss")
    await expect(other.locator(".sheet").first.locator(".segment")).to_have_count(3)


async def test_recorded_retries_of_the_last_of_many_sheets_are_drawn(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("wide", 1_100)
    page = await user.open_page("/jobs/wide")
    await page.locator(".sheet").first.focus()
    await page.keyboard.press("End")
    last = page.locator(".sheet[aria-label^='Sheet 1100,']")
    await expect(last).to_be_in_viewport()
    conductor.dispatch("wide", 1_100)
    await expect(last.locator(".segment")).to_have_count(1)
    conductor.schedule_retry("wide", 1_100)
    await expect(last.locator(".segment[data-kind=wait]")).to_have_count(1)
    conductor.dispatch("wide", 1_100)
    await expect(last.locator(".segment")).to_have_count(3)
    # The server gives 1,000 sheets on a page.
    other = await user.open_page("/jobs/wide")
    await other.locator(".sheet").first.focus()
    await other.keyboard.press("End")
    await expect(
        other.locator(".sheet[aria-label^='Sheet 1100,']").locator(".segment")
    ).to_have_count(3)


async def test_gantt_follows_a_job_to_its_end_and_restart(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    conductor.dispatch("moss", 1)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".now-line")).to_be_visible()
    conductor.complete_sheet("moss", 1)
    conductor.complete_sheet("moss", 2)
    conductor.finish("moss")
    await expect(page.locator(".job-header .status-label")).to_have_text("completed")
    await expect(page.locator(".facts")).to_contain_text("Duration")
    await expect(page.locator(".now-line")).to_be_hidden()
    # It runs again under the same id, and the page continues.
    conductor.launch("moss", 2)
    await expect(page.locator(".job-header .status-label")).to_have_text("running")
    conductor.complete_sheet("moss", 1)
    await expect(page.locator(".job-header .count")).to_have_text("1 / 2")
    await expect(page.locator(".now-line")).to_be_visible()


async def test_chosen_sheet_shows_details_and_arrows_move(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    await user.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=user.address)
    conductor.launch("moss", 6, instrument="organ", movements=MOVEMENTS)
    conductor.dispatch("moss", 2)
    conductor.jobs["moss"].sheet(2).update(
        exit_code=1,
        stdout_tail="one\ntwo",
        validation_details=[{"description": "report exists", "passed": False}],
    )
    conductor.fail_sheet("moss", 2, "The wind\ntook <b>lantern</b> 3")
    page = await user.open_page("/jobs/moss")
    panel = page.locator(".sheet-panel")
    await expect(panel).to_be_hidden()
    sheet = page.locator(".sheet[aria-label^='Sheet 2, failed, organ']")
    await sheet.click()
    await expect(panel).to_contain_text("organ")
    await expect(panel.locator(".attempt")).to_have_text("attempt 1 of 3")
    await expect(panel.locator(".error")).to_have_text("The wind\ntook <b>lantern</b> 3")
    await expect(panel.locator(".validations")).to_contain_text("failed: report exists")
    await expect(panel.locator(".output")).to_have_text("one\ntwo")
    await expect(panel.locator("dl")).to_contain_text("Exit code1")
    # The panel has the job's error.
    await expect(page.locator(".job-error")).to_be_hidden()
    await panel.get_by_role("button", name="Copy the error").click()
    await expect(panel.locator(".copy")).to_contain_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == "The wind\ntook <b>lantern</b> 3"
    await sheet.focus()
    await page.keyboard.press("ArrowDown")
    await expect(panel.locator("h2")).to_have_text("Sheet 3")
    await expect(panel).to_contain_text("It has not started yet.")
    await expect(page.locator(".job-error")).to_contain_text("The wind")
    await page.keyboard.press("ArrowRight")
    await expect(panel.locator("h2")).to_have_text("Sheet 6")
    await page.keyboard.press("Home")
    await expect(panel.locator("h2")).to_have_text("Sheet 1")
    assert await page.locator(".sheet[tabindex='0']").count() == 1
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await page.keyboard.press("Enter")
    await expect(panel).to_be_visible()
    await panel.get_by_role("button", name="Close").click()
    await expect(panel).to_be_hidden()
    assert await page.evaluate("document.activeElement.ariaLabel") == "Sheet 1, not started, organ"


async def test_failed_job_opens_at_its_failed_sheet(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 200)
    conductor.dispatch("moss", 150)
    conductor.fail_sheet("moss", 150, "The wind took it")
    conductor.finish("moss", "failed")
    page = await user.open_page("/jobs/moss")
    panel = page.locator(".sheet-panel")
    await expect(panel.locator("h2")).to_have_text("Sheet 150")
    await expect(panel).to_contain_text("The wind took it")
    await expect(panel).to_contain_text("This conductor keeps no output of this sheet.")
    await expect(page.locator(".sheet[aria-expanded=true]")).to_be_in_viewport()
    await expect(page.locator(".resume code")).to_have_text("mzt resume moss")
    await expect(page.get_by_role("button", name="Copy the command")).to_be_visible()


async def test_chart_shows_the_sheets_at_work_until_the_reader_scrolls(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 200)
    conductor.dispatch("moss", 100)
    page = await user.open_page("/jobs/moss")
    at_work = page.locator(".sheet[aria-label*=running]")
    await expect(at_work).to_have_count(1)
    await expect(at_work).to_be_in_viewport(ratio=1)
    conductor.dispatch("moss", 150)
    conductor.complete_sheet("moss", 100)
    await expect(page.get_by_role("button", name="Sheet 150, running")).to_be_in_viewport(ratio=1)
    await page.locator(".gantt").hover()
    await page.mouse.wheel(0, -20_000)
    await expect(page.get_by_role("button", name="Sheet 1, not started")).to_be_in_viewport()
    conductor.dispatch("moss", 160)
    conductor.complete_sheet("moss", 150)
    await expect(page.locator(".job-header .count")).to_have_text("2 / 200")
    await expect(page.get_by_role("button", name="Sheet 1, not started")).to_be_in_viewport()


@pytest.mark.parametrize("size", [(1280, 800), (820, 1180), (390, 844)])
async def test_panel_stays_in_sight_at_each_size(
    user: BrowserUser, conductor: SimulatedConductor, size: tuple[int, int]
) -> None:
    conductor.launch("wide", 300)
    page = await user.open_page("/jobs/wide")
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    await page.locator(".sheet").first.click()
    heading = page.locator(".sheet-panel h2")
    await expect(heading).to_have_text("Sheet 1")
    await page.keyboard.press("End")
    await expect(heading).to_have_text("Sheet 300")
    await page.mouse.move(200, 300)
    await page.mouse.wheel(0, 4000)
    await expect(heading).to_be_in_viewport()
    assert await find_too_wide(page) == []
    await page.keyboard.press("ArrowUp")
    chosen, panel = page.locator(".sheet[aria-expanded=true]"), page.locator(".sheet-panel")
    await expect(chosen).to_have_attribute("aria-label", "Sheet 299, not started, cli")
    row, box = await chosen.bounding_box(), await panel.bounding_box()
    assert row is not None
    assert box is not None
    is_beside = row["x"] + row["width"] <= box["x"]
    assert is_beside or row["y"] + row["height"] <= box["y"]


async def test_only_visible_sheets_of_many_are_drawn(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("wide", 300)
    page = await user.open_page("/jobs/wide")
    first = page.locator(".sheet").first
    await expect(first).to_be_visible()
    assert await page.locator(".sheet").count() < 40
    await first.focus()
    await page.keyboard.press("End")
    await expect(page.locator(".sheet:focus")).to_have_attribute(
        "aria-label", "Sheet 300, not started, cli"
    )
    await expect(page.locator(".sheet:focus")).to_be_in_viewport()
    # A row with the focus stays, however far it is.
    await page.locator(".gantt").evaluate("(element) => element.scrollTo(0, 0)")
    await expect(page.locator(".sheet[aria-label^='Sheet 1,']")).to_be_visible()
    await expect(page.locator(".sheet:focus")).to_have_count(1)


async def test_head_shows_wait_cost_and_estimate(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    # While sheets wait for their turn, there is an estimate however long this test takes.
    conductor.launch("moss", 8)
    for number in (1, 2, 3):
        conductor.dispatch("moss", number)
        conductor.complete_sheet("moss", number, SheetOutput(estimated_cost=0.25))
    conductor.dispatch("moss", 4)
    page = await user.open_page("/jobs/moss")
    facts = page.locator(".facts")
    await expect(facts).to_contain_text("Estimated cost$0.75")
    await expect(facts).to_contain_text("Tokens3.6K in, 1.1K out")
    await expect(facts.locator("div", has_text="Ends").locator("dd")).to_contain_text("about")
    conductor.limit_rate("moss", 4, 300, is_reported=True)
    notice = page.locator(".notice[data-tone=waiting]")
    await expect(notice).to_contain_text("It goes on at")
    conductor.pause("moss")
    # The status says it.
    await expect(page.locator(".notice:visible")).to_have_count(0)
    await expect(page.locator(".resume code")).to_have_text("mzt resume moss")


async def test_timeline_shows_the_selected_event_group(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".sheet")).to_have_count(2)
    conductor.emit("moss", "job.noted", {"by": "<i>me</i>", "deep": {"a": 1}})
    conductor.emit("moss", "observer.file_created", {"path": "out.txt"})
    conductor.emit("other", "job.noted", {"by": "others"})
    for pid in range(60):
        conductor.emit("moss", "observer.process_spawned", {"pid": pid})
    conductor.emit("moss", "sheet.noted", {})
    events = page.locator(".event")
    await expect(events.first).to_contain_text("sheet.noted")
    noted = events.filter(has_text="job.noted")
    await expect(noted).to_have_count(1)
    await expect(events.filter(has_text="observer.")).to_have_count(0)
    which = page.get_by_label("Event group")
    await which.select_option("files")
    await expect(events).to_have_count(1)
    await expect(events).to_contain_text("out.txt")
    await which.select_option("processes")
    await expect(events.filter(has_text="observer.process_spawned")).to_have_count(60)
    note = page.get_by_text("Processes of the whole host")
    await expect(note).to_be_visible()
    await which.select_option("job")
    await expect(noted).to_have_count(1)
    await expect(note).to_be_hidden()
    await noted.locator("summary").click()
    await expect(noted.locator("pre")).to_contain_text('"deep"')
    await page.get_by_label("Filter events").fill("nothing")
    await expect(events).to_have_count(0)


async def test_failure_while_the_page_is_open_opens_the_sheet_and_keeps_the_focus(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 4)
    conductor.dispatch("moss", 3)
    page = await user.open_page("/jobs/moss")
    search = page.get_by_label("Search the whole log")
    await search.focus()
    panel = page.locator(".sheet-panel")
    await expect(page.locator(".sheet[data-tone=running]")).to_have_count(1)
    conductor.fail_sheet("moss", 3, "The wind took it")
    conductor.finish("moss", "failed")
    await expect(panel.locator("h2")).to_have_text("Sheet 3")
    await expect(search).to_be_focused()
    # The reader closes it; it opens again if the job fails again.
    await panel.get_by_role("button", name="Close").click()
    conductor.resume("moss")
    await expect(page.locator(".job-header .status-label")).to_have_text("running")
    await expect(panel).to_be_hidden()
    conductor.fail_sheet("moss", 3, "The wind took it again")
    conductor.finish("moss", "failed")
    await expect(panel).to_contain_text("The wind took it again")


async def test_job_opens_at_the_sheet_that_waits_for_a_person(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 300)
    for number in (200, 201):
        conductor.dispatch("moss", number)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".sheet[data-tone=running]")).to_have_count(2)
    panel = page.locator(".sheet-panel")
    await expect(panel).to_be_hidden()
    conductor.hold_sheet("moss", 200)
    held = page.locator(".sheet[data-tone=paused]")
    for _ in range(2):
        await expect(panel.locator("h2")).to_have_text("Sheet 200")
        await expect(held).to_be_in_viewport()
        await expect(held).to_have_attribute("aria-expanded", "true")
        # Then the same for a page that is opened later.
        await page.reload()
    await expect(panel).to_be_visible()
    # The reader closes it; it stays closed until another one waits.
    await page.keyboard.press("Escape")
    conductor.complete_sheet("moss", 201)
    await expect(page.locator(".job-header .count")).to_have_text("1 / 300")
    await expect(panel).to_be_hidden()
    conductor.hold_sheet("moss", 7)
    conductor.dispatch("moss", 200)
    await expect(panel.locator("h2")).to_have_text("Sheet 7")


async def test_work_of_a_sheet_that_waits_has_the_colour_of_work(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".sheet")).to_have_count(2)
    # The server has seen the sheet before it starts, and so knows its start.
    conductor.dispatch("moss", 1)
    work = page.locator(".sheet .segment[data-kind=work]")
    colour = "(element) => getComputedStyle(element).backgroundColor"
    await expect(work).to_have_count(1)
    running = await work.evaluate(colour)
    legend = page.locator(".legend:visible", has_text="at work")
    assert await legend.locator(".segment").evaluate(colour) == running
    conductor.hold_sheet("moss", 1)
    await expect(page.locator(".sheet .segment[data-kind=wait]")).to_have_count(1)
    assert await work.evaluate(colour) == running
    conductor.dispatch("moss", 1)
    conductor.complete_sheet("moss", 1)
    await expect(legend).to_have_count(0)


async def test_head_names_all_sheets_at_work(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 12)
    for number in (7, 8, 9, 11):
        conductor.dispatch("moss", number)
    page = await user.open_page("/jobs/moss")
    at_work = page.locator(".facts div", has_text="At work").locator("dd")
    await expect(at_work).to_have_text("4 sheets: 7 to 9, 11")
    for number in (8, 9, 11):
        conductor.complete_sheet("moss", number)
    await expect(at_work).to_have_text("sheet 7")


async def test_sheet_that_ended_unseen_says_so_in_the_chart(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 3)
    conductor.complete_sheet("moss", 1)
    conductor.skip_sheet("moss", 2, 1)
    page = await user.open_page("/jobs/moss")
    first = page.locator(".gantt-row").first
    await expect(first.locator(".missing-bar")).to_contain_text("unknown")
    await expect(first.get_by_role("button")).to_have_attribute(
        "aria-label", re.compile("^Sheet 1, completed.* unknown$")
    )
    words = page.locator(".missing-bar")
    await expect(words.nth(1)).to_have_text("did not run")
    await expect(words.nth(2)).to_have_text("")
