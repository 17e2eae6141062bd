"""Sheet panel and timeline of the job view: what is read after the page has opened."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.async_api import Route, expect

from marianne_stream.demo.sheet_operations import SheetOutput
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser


async def test_panel_shows_the_lines_of_the_log_while_the_sheet_ran(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    def write(text: str, seconds: float = 0.0) -> None:
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        with log_path.open("a") as file:
            file.write(f"{moment:%Y-%m-%dT%H:%M:%S.%f} [error] {text}\n  at line 7\n")

    write("long before", -3600)
    page = await user.open_page("/jobs/lantern")
    sheet = page.locator(".sheet").first
    await expect(sheet).to_be_visible()
    conductor.dispatch("lantern", 1)
    await expect(sheet.locator(".segment")).to_have_count(1)
    write("the wind took it")
    await sheet.click()
    lines = page.locator(".sheet-log-lines li .text")
    await expect(lines).to_have_text(["the wind took it", "  at line 7"])
    await expect(page.locator(".sheet-panel")).to_contain_text("once the sheet has ended")
    # Lines of a sheet at work come as it goes on.
    write("the wind took the other")
    await expect(lines).to_have_count(4)
    conductor.complete_sheet("lantern", 1)
    await expect(sheet).to_have_attribute("data-tone", "completed")
    await expect(page.locator(".sheet-panel")).to_contain_text("keeps no output")
    write("long after", 3600)
    await page.reload()
    await sheet.click()
    await expect(lines).to_have_count(4)
    await expect(page.locator(".sheet-log p")).to_contain_text(re.compile(r"^Lines from \d\d:"))
    await page.get_by_role("button", name="Show in the log").click()
    await expect(page.locator(".row.current .text")).to_contain_text("the wind took it")


async def test_details_that_could_not_be_read_are_requested_again(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    conductor.dispatch("moss", 1)
    conductor.complete_sheet("moss", 1, SheetOutput(stdout_tail="one"))
    page = await user.open_page("/jobs/moss")

    async def refuse(route: Route) -> None:
        await route.abort()

    await page.route("**/sheets/1", refuse)
    await page.locator(".sheet").first.click()
    panel = page.locator(".sheet-panel")
    await expect(panel).to_contain_text("cannot be read now")
    await page.unroute("**/sheets/1", refuse)
    await expect(panel.locator(".output")).to_have_text("one")
    await expect(panel).not_to_contain_text("cannot be read now")


async def test_timeline_loads_recorded_events_and_says_why_it_is_empty(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".sheet")).to_have_count(2)
    started = page.locator(".event[data-event='job.started']")
    conductor.emit("moss", "job.started", {"sheet_count": 2, "instrument": "cli"})
    await expect(started.first).to_contain_text("Job started")
    await expect(started.first).to_contain_text("2 sheets · instrument cli")
    events = page.locator(".event")
    for first in range(0, 220, 55):
        for number in range(first, first + 55):
            conductor.emit("moss", "job.noted", {"number": number})
        await expect(events.first).to_contain_text(f"number {first + 54}")
    await page.get_by_label("Filter events").fill("nothing")
    await expect(page.locator(".events .muted")).to_have_text("No event matches the filter.")
    await page.get_by_label("Filter events").fill("")
    which = page.get_by_label("Event group")
    await which.select_option("files")
    await expect(page.locator(".events")).to_have_text("No events of this kind.")
    # The stream begins with 200 events; those before them are recorded.
    await which.select_option("job")
    await expect(events.filter(has_text="job.noted")).to_have_count(220)
    await expect(started.last).to_be_attached()
    await expect(page.get_by_role("button", name="Older events")).to_have_count(0)


async def test_job_error_is_shown_unless_the_panel_has_all_of_it(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    conductor.dispatch("moss", 1)
    conductor.fail_sheet("moss", 1, "Exit code 1")
    conductor.finish("moss", "failed", error_message="Exit code 1; sheet 2 did not run")
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".sheet-panel .error")).to_have_text("Exit code 1")
    await expect(page.locator(".job-error")).to_have_text("Exit code 1; sheet 2 did not run")
