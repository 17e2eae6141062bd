"""Job view in a browser: sheets, progress and timeline."""

from playwright.async_api import expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser

MOVEMENTS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 2, 6: 3}


async def test_sheet_grid_groups_by_movement_and_updates(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 6, movements=MOVEMENTS)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".movement")).to_have_count(3)
    await expect(page.locator(".movement").nth(1).locator(".sheet")).to_have_count(3)
    conductor.complete_sheet("moss", 1)
    conductor.dispatch("moss", 2)
    first, second = page.locator(".sheet").nth(0), page.locator(".sheet").nth(1)
    await expect(first).to_have_attribute("data-tone", "completed")
    await expect(second).to_have_attribute("data-tone", "running")
    await expect(page.locator(".job-header .count")).to_have_text("1 / 6")
    await expect(page.locator(".facts")).to_contain_text("sheet 2")


async def test_clicked_sheet_shows_instrument_and_error(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 3, instrument="organ")
    conductor.fail_sheet("moss", 2, "The wind\ntook <b>lantern</b> 3")
    page = await user.open_page("/jobs/moss")
    sheet = page.get_by_role("button", name="Sheet 2, failed, organ, has an error")
    await sheet.click()
    detail = page.locator(".sheet-details")
    await expect(detail).to_contain_text("organ")
    await expect(detail.locator(".error")).to_have_text("The wind\ntook <b>lantern</b> 3")
    await sheet.press("ArrowRight")
    await page.keyboard.press("Enter")
    await expect(detail).to_contain_text("Sheet 3")
    await expect(page.locator(".job-error")).to_contain_text("The wind")


async def test_many_sheets_have_small_cells(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("wide", 300)
    page = await user.open_page("/jobs/wide")
    await expect(page.locator(".sheet")).to_have_count(300)
    box = await page.locator(".sheet").first.bounding_box()
    assert box is not None
    assert box["width"] < 30


async def test_progress_chart_follows_a_job_to_its_end_and_restart(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    page = await user.open_page("/jobs/moss")
    known = page.locator(".progress-chart .known")
    await expect(known).to_be_attached()
    before = await known.get_attribute("d")
    conductor.complete_sheet("moss", 1)
    await expect(page.locator(".job-header .count")).to_have_text("1 / 2")
    await expect(known).not_to_have_attribute("d", before or "")
    conductor.complete_sheet("moss", 2)
    conductor.finish("moss")
    await expect(page.locator(".job-header .status-label")).to_have_text("completed")
    await expect(page.locator(".facts")).to_contain_text("Duration")
    # It runs again under the same id, and the page continues.
    conductor.launch("moss", 2)
    await expect(page.locator(".job-header .status-label")).to_have_text("running")
    conductor.complete_sheet("moss", 1)
    await expect(page.locator(".job-header .count")).to_have_text("1 / 2")


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


async def test_unknown_job_shows_not_found(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    page = await user.open_page("/jobs/nothing")
    await expect(page.locator(".job-error")).to_have_text("Score not found: nothing")


async def test_deleted_job_shows_that_it_no_longer_exists(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".sheet")).to_have_count(2)
    conductor.remove("moss")
    await expect(page.locator(".job-error")).to_contain_text(
        "This job no longer exists", timeout=30_000
    )


async def test_notification_is_sent_when_the_job_ends(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    await user.context.grant_permissions(["notifications"], origin=user.address)
    conductor.launch("moss", 1)
    page = await user.open_page("/jobs/moss")
    # Headless browsers show no notifications: record them instead.
    await page.evaluate(
        """() => {
          window.notifications = [];
          window.Notification = class {
            static permission = "granted";
            constructor(title) { window.notifications.push(title); }
          };
        }"""
    )
    await page.get_by_role("button", name="Notify").click()
    await expect(page.get_by_role("button", name="Notifying")).to_be_visible()
    await page.get_by_title("All jobs").click()
    await expect(page.locator(".job .notify-mark")).to_be_visible()
    conductor.complete_sheet("moss", 1)
    conductor.finish("moss")
    await expect(page.locator(".job .status-label")).to_have_text("completed")
    assert await page.evaluate("window.notifications") == ["moss: completed"]
    await expect(page.locator(".job .notify-mark")).to_be_hidden()
