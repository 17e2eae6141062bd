"""States of the job view in which there is no live job to show, each in its own words."""

import re
import signal
from pathlib import Path

from playwright.async_api import Browser, Page, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser, find_too_wide, open_browser_user
from tests.support.job_list import launch_each_status
from tests.support.log_view import append_numbered, log_row
from tests.support.processes import run_process, run_server

LIVE = "Live from the conductor"

GONE = re.compile(
    r"^The server is not responding\. This is the job as of \d\d:\d\d; it updates by itself\.$"
)

# Error that is longer than any screen.
LONG_ERROR = "\n".join(f"File lantern_{number}.py, in light" for number in range(400))


async def expect_one_message(page: Page, heading: str) -> None:
    """Wait for a page with a message instead of a job, in a page that is live."""
    await expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    await expect(page.locator(".job-view > *")).to_have_count(1)
    await expect(page.locator("main").get_by_role("link", name="All jobs")).to_be_visible()


async def test_unknown_job_has_one_page_and_is_shown_once_submitted(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    page = await user.open_page("/jobs/later")
    await expect_one_message(page, "No job later")
    await expect(page.locator(".missing-job")).to_contain_text("as soon as it is submitted")
    await expect(page.locator("#connection")).to_have_text(LIVE)
    await user.take_pictures(page, "job_unknown")
    append_numbered(log_path, 1, 2)
    conductor.launch("later", 3, workspace=str(log_path.parent))
    await expect(page.locator(".sheet")).to_have_count(3)
    # What sticks out of a job's page is found: `main` scrolls, not the window.
    await page.evaluate("document.querySelector('.job-details').style.width = '3000px'")
    assert await find_too_wide(page) == ["main"]
    await page.evaluate("document.querySelector('.job-details').style.width = ''")
    assert await find_too_wide(page) == []
    await expect(page.locator(".missing-job")).to_have_count(0)
    await expect(log_row(page, 2)).to_be_visible()
    conductor.emit("later", "job.noted", {"by": "me"})
    await expect(page.locator(".event", has_text="job.noted")).to_have_count(1)


async def test_deleted_job_stands_still_and_goes_on_if_it_is_submitted_again(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    conductor.dispatch("moss", 1)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".now-line")).to_be_visible()
    conductor.remove("moss")
    notice = page.locator(".notice:visible")
    await expect(notice).to_contain_text("This job no longer exists", timeout=30_000)
    status = page.locator(".job-header .status-label")
    await expect(status).to_have_text("was running")
    await expect(page.locator(".now-line")).to_be_hidden()
    await expect(page.locator(".sheet").first).to_have_attribute("data-tone", "unknown")
    await expect(page.get_by_role("button", name="Sheet 1, was running")).to_be_visible()
    await page.locator(".sheet").first.click()
    panel = page.locator(".sheet-panel")
    await expect(panel.locator(".status-label")).to_have_text("was running")
    await expect(panel).not_to_contain_text("once the sheet has ended")
    await page.keyboard.press("Escape")
    await expect(page.locator("#connection")).to_have_text(LIVE)
    duration = page.locator(".facts div", has_text="Duration").locator("dd")
    before = await duration.inner_text()
    await user.take_pictures(page, "job_deleted")
    # Pages that are opened now find no job.
    other = await user.open_page("/jobs/moss")
    await expect_one_message(other, "No job moss")
    assert await duration.inner_text() == before
    conductor.launch("moss", 3)
    for one in (page, other):
        await expect(one.locator(".job-header .status-label")).to_have_text("running")
        await expect(one.locator(".sheet")).to_have_count(3)
    await expect(notice).to_have_count(0)


async def test_job_that_the_token_does_not_give_access_to_is_unknown(
    browser: Browser, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("moss", 2)
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-the-team fern*\n")
    tokens.chmod(0o600)
    places = ("--conductor-socket", tmp_path / "c.sock", "--registry-path", tmp_path / "state.db")
    private = ("--data-dir", tmp_path / "private", "--token-file", tokens)
    async with (
        run_process("-m", "marianne_stream", "--port", 0, *places, *private) as server,
        open_browser_user(browser, server.address, "job_denied") as someone,
    ):
        page = await someone.open_page("/jobs/moss")
        await page.get_by_label("Token").fill("a-token-of-the-team")
        await page.get_by_role("button", name="Sign in").click()
        await expect_one_message(page, "No job moss")
        await expect(page.locator(".missing-job")).to_contain_text("if your token gives access")
        await someone.take_pictures(page, "job_denied")


async def test_job_without_a_server_says_as_of_when_it_is(
    browser: Browser, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("moss", 2)
    conductor.dispatch("moss", 1)
    async with (
        run_server(tmp_path) as server,
        open_browser_user(browser, server.address, "job_server_gone") as someone,
    ):
        page = await someone.open_page("/jobs/moss")
        await expect(page.locator(".sheet")).to_have_count(2)
        await expect(page.locator("#connection")).to_have_text(LIVE)
        notice = page.locator(".notice:visible")
        await expect(notice).to_have_count(0)
        server.send_signal(signal.SIGKILL)
        await server.wait()
        await expect(notice).to_have_text(GONE)
        await expect(page.locator("#connection")).to_contain_text("Not live since")
        await someone.take_pictures(page, "job_server_gone")


async def test_job_of_each_status_says_what_it_does(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    launch_each_status(conductor)
    conductor.launch("limited", 4)
    conductor.dispatch("limited", 1)
    conductor.limit_rate("limited", 1, 3000, is_reported=True)
    conductor.submit("later", 2)
    page = await user.open_page()
    for job_id, status, sentence in (
        ("busy", "running", ""),
        ("limited", "running", "Sheet 1 waits: cli has reached a rate limit."),
        ("later", "queued", "The conductor has not started the job yet."),
        ("resting", "paused", ""),
        ("done", "completed", ""),
        ("stopped", "cancelled", ""),
    ):
        await page.goto(f"{user.address}/jobs/{job_id}")
        await expect(page.locator(".job-header .status-label")).to_have_text(status)
        notice = page.locator(".notice:visible")
        if sentence:
            await expect(notice).to_contain_text(sentence)
        else:
            await expect(notice).to_have_count(0)
        await expect(page.locator("#connection")).to_have_text(LIVE)
        facts = page.locator(".facts div:visible")
        if status == "queued":
            await expect(page.locator(".row.missing")).to_have_text(
                "No log yet: the job has not started.", use_inner_text=True
            )
            await expect(facts).to_have_count(1)
            await expect(facts).to_have_text(re.compile(r"^Submitted\d\d:\d\d$"))
        else:
            await expect(facts.filter(has_text="Duration")).to_have_count(1)
        await user.take_pictures(page, f"job_{job_id}")


async def test_job_with_a_stalled_sheet_says_which(
    browser: Browser, conductor: SimulatedConductor, tmp_path: Path, log_path: Path
) -> None:
    append_numbered(log_path, 1, 300)
    async with (
        run_server(tmp_path, "--stalled-after-s", 1) as server,
        open_browser_user(browser, server.address, "job_stalled") as someone,
    ):
        page = await someone.open_page("/jobs/lantern")
        await expect(page.locator(".sheet")).to_have_count(4)
        conductor.complete_sheet("lantern", 1)
        conductor.dispatch("lantern", 2)
        await expect(page.locator(".notice:visible")).to_contain_text("Sheet 2")
        await expect(page.locator(".sheet[data-stalled]")).to_have_count(1)
        await someone.take_pictures(page, "job_stalled")


async def test_job_without_a_log_says_so_once(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".sheet")).to_have_count(2)
    text = page.get_by_text(re.compile("This job has no log\\..* have the job write"))
    missing = text.locator("visible=true")
    await expect(missing).to_have_count(1)
    conductor.dispatch("moss", 1)
    await page.locator(".sheet").first.click()
    panel = page.locator(".sheet-panel")
    await expect(panel).to_contain_text("once the sheet has ended")
    await expect(panel.locator(".sheet-log")).to_be_hidden()
    await expect(missing).to_have_count(1)
    await user.take_pictures(page, "job_without_log")


async def test_very_long_error_leaves_room_for_the_rest(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    conductor.dispatch("moss", 1)
    conductor.fail_sheet("moss", 1, LONG_ERROR)
    conductor.finish("moss", "failed")
    page = await user.open_page("/jobs/moss")
    error = page.locator(".sheet-panel .error")
    await expect(error).to_contain_text("lantern_399.py")
    await user.take_pictures(page, "job_long_error")
    await page.keyboard.press("Escape")
    await expect(page.locator(".job-error")).to_contain_text("lantern_399.py")
    for locator in (page.locator(".gantt"), page.locator(".log-rows")):
        box = await locator.bounding_box()
        assert box is not None
        assert box["y"] + 100 < 800
    await user.take_pictures(page, "job_long_error_closed")


async def test_300_sheets_are_cut_at_whole_rows(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_numbered(log_path, 1, 60)
    movements = {number: (number + 29) // 30 for number in range(1, 301)}
    conductor.launch("wide", 300, workspace=str(log_path.parent), movements=movements)
    page = await user.open_page("/jobs/wide")
    await expect(page.locator(".sheet").first).to_be_visible()
    for number in (1, 2, 4, 5):
        conductor.dispatch("wide", number)
    await expect(page.locator(".segment[style]")).to_have_count(4)
    conductor.complete_sheet("wide", 1)
    conductor.schedule_retry("wide", 2)
    conductor.complete_sheet("wide", 3)
    await expect(page.locator(".missing-bar", has_text="unknown")).to_have_count(1)
    await expect(page.locator(".segment[data-failed][style]")).to_have_count(1)
    await expect(log_row(page, 60)).to_be_visible()
    rows = "(chart) => chart.clientHeight / document.querySelector('.gantt-row').clientHeight"
    assert await page.locator(".gantt").evaluate(rows) % 1 == 0
    await page.locator(".sheet[aria-label^='Sheet 2,']").click()
    await expect(page.locator(".sheet-panel")).to_contain_text("attempt 1 of 3")
    await user.take_pictures(page, "job_300_sheets")
