"""States of the job list: empty, not live, and very long; each in its own words."""

import re
import signal
from pathlib import Path

from playwright.async_api import Browser, expect

from marianne_stream.demo.sheet_operations import SheetOutput
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import SIZES, BrowserUser, open_browser_user
from tests.support.conductors import occupy_slots
from tests.support.job_list import launch_each_status
from tests.support.processes import ManagedProcess, run_server

# Names of the visible cells of a row, from left to right, but for those of its second line.
FIRST_LINE = """(row) => {
  const cells = [...row.querySelectorAll(".line .cell")].filter((cell) =>
    cell.checkVisibility({ visibilityProperty: true }));
  return cells.sort((a, b) => a.getBoundingClientRect().left - b.getBoundingClientRect().left)
    .map((cell) => cell.classList[1]);
}"""

AS_OF = r"The list is as of \d\d:\d\d; it updates by itself\.$"


async def test_list_without_jobs_says_how_to_get_one(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    page = await user.open_page()
    empty = page.locator(".empty")
    await expect(empty.locator("p")).to_have_text(
        ["No jobs yet.", "Submit a score to the conductor; its job appears here automatically."]
    )
    await expect(page.locator(".list-notices .notice")).to_have_count(0)
    await user.take_pictures(page, "list_no_jobs")
    conductor.launch("first", 1)
    await expect(page.locator(".job .name")).to_have_text("first")
    await expect(empty).to_be_hidden()


async def test_list_says_why_it_is_not_live(
    user: BrowserUser, conductor: SimulatedConductor, server: ManagedProcess
) -> None:
    launch_each_status(conductor)
    page = await user.open_page()
    await expect(page.locator(".job")).to_have_count(5)
    notice = page.locator(".list-notices .notice")
    await expect(notice).to_have_count(0)
    await conductor.stop()
    await expect(notice).to_have_text(re.compile("^The conductor is not running\\..* " + AS_OF))
    # The icon of a pause stands for jobs.
    await expect(notice.locator(".icon")).to_have_attribute("data-shape", "clock")
    await user.take_pictures(page, "list_no_conductor")
    server.send_signal(signal.SIGKILL)
    await expect(notice).to_have_text(re.compile("^The server is not responding\\. " + AS_OF))
    await expect(page.locator("#connection")).to_contain_text("Not live since")
    await expect(page.locator(".job")).to_have_count(5)
    await user.take_pictures(page, "list_server_gone")


async def test_list_without_conductor_and_registry_says_what_is_missing(
    browser: Browser, tmp_path: Path
) -> None:
    async with (
        run_server(tmp_path) as running,
        open_browser_user(browser, running.address, "list_nothing_to_read") as someone,
    ):
        page = await someone.open_page()
        empty = page.locator(".empty")
        await expect(empty.locator(".title")).to_have_text("Jobs are not available yet.")
        await expect(empty.locator("p:not(.title)")).to_have_text(
            [
                "Neither the conductor nor another source of jobs can be read right now.",
                "This page updates by itself.",
            ]
        )
        await expect(page.locator(".chip:visible")).to_have_text(["all"])
        await expect(page.locator("#connection")).to_contain_text("Not live")
        await someone.take_pictures(page, "list_nothing_to_read")


async def test_list_says_if_the_conductor_has_no_free_slot(
    browser: Browser, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    launch_each_status(conductor)
    await conductor.flush()
    async with (
        occupy_slots(conductor, 5),
        run_server(tmp_path) as running,
        open_browser_user(browser, running.address, "list_no_free_slot") as someone,
    ):
        page = await someone.open_page()
        notice = page.locator(".list-notices .notice")
        await expect(notice).to_contain_text("all of its connection slots may be taken")
        await expect(page.locator(".job")).to_have_count(5)
        await someone.take_pictures(page, "list_no_free_slot")


async def test_list_of_1000_jobs_begins_with_those_that_need_the_reader(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    for number in range(995):
        conductor.launch(f"night-{number}", 2)
        conductor.complete_sheet(f"night-{number}", 1)
        if number % 4:
            conductor.finish(f"night-{number}")
    launch_each_status(conductor)
    page = await user.open_page()
    await expect(page.locator("h2:visible")).to_have_text(
        ["Needs you 2", "Running 250", "Done 748"]
    )
    needs = page.locator("[data-section=attention]")
    await expect(needs.locator(".name")).to_have_text(["broken", "resting"])
    await expect(needs.locator(".note").first).to_have_text("The wind took it")
    await expect(page.locator(".chip").first).to_have_text("all1,000")
    await user.take_pictures(page, "list_1000_jobs")


async def test_row_tells_first_how_long_the_job_has_run_and_then_when_it_ends(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    launch_each_status(conductor)
    conductor.launch("priced", 300)
    for number in (1, 2, 3):
        conductor.complete_sheet("priced", number, SheetOutput(estimated_cost=0.25))
    conductor.launch("held", 3)
    conductor.dispatch("held", 1)
    conductor.hold_sheet("held", 1)
    conductor.launch("limited", 4)
    conductor.dispatch("limited", 1)
    conductor.limit_rate("limited", 1, 3000, is_reported=True)
    conductor.submit("later", 2)
    page = await user.open_page()
    await expect(page.locator("h2:visible")).to_have_text(
        ["Needs you 3", "Running 3", "Queued 1", "Done 2"]
    )
    priced = page.locator(".job", has_text="priced")
    await expect(priced.locator(".ends .value")).to_contain_text("in ")
    broken = page.locator(".job", has_text="broken")
    await expect(broken.locator(".note")).to_have_text("The wind took it")
    for ended in (broken, page.locator(".job", has_text="stopped")):
        await expect(ended.locator(".changed .value")).to_contain_text("ago")
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        # A phone has no room for the cost.
        shown = ["duration", "ends", "cost"][: 2 if width < 640 else 3]
        assert await priced.evaluate(FIRST_LINE) == shown, width
    await user.take_pictures(page, "list_all_sections")
