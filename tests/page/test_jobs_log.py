"""View of several jobs' logs in a browser."""

import signal
from pathlib import Path

from playwright.async_api import Browser, Page, Route, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser, open_browser_user
from tests.support.log_view import append_at, append_series, log_row, scroll_up
from tests.support.ports import free_port
from tests.support.processes import run_server
from tests.support.viewers import wait_for_combined_streams


async def add_job(page: Page, job_id: str) -> None:
    """Add the log of a job to the view."""
    await page.get_by_label("Job to add").select_option(job_id)
    await page.get_by_role("button", name="Add", exact=True).click()


async def test_lines_of_several_jobs_are_prefixed_and_ordered_by_their_times(
    other_log_path: Path, log_path: Path, user: BrowserUser
) -> None:
    append_at(log_path, 1, 3, 5)
    append_at(other_log_path, 2, 4)
    page = await user.open_page("/jobs/lantern")
    await page.get_by_role("link", name="Add a job").click()
    await expect(page.locator(".row.line .text")).to_have_text(["at 1", "at 3", "at 5"])
    await add_job(page, "tide")
    texts, names = page.locator(".row.line .text"), page.locator(".row.line .job-name")
    await expect(texts).to_have_text([f"at {second}" for second in range(1, 6)])
    await expect(names).to_have_text(["lantern", "tide", "lantern", "tide", "lantern"])
    await user.take_pictures(page, "logs")
    assert page.url.endswith("/logs?job=lantern&job=tide")
    colours = [
        await names.nth(at).evaluate("(name) => getComputedStyle(name).color") for at in (0, 1)
    ]
    assert colours[0] != colours[1]
    append_at(other_log_path, 7)
    await expect(texts).to_have_text([f"at {second}" for second in (1, 2, 3, 4, 5, 7)])
    append_at(log_path, 6)
    await expect(texts).to_have_text([f"at {second}" for second in range(1, 8)])
    await wait_for_combined_streams(user.address)
    await page.get_by_label("Only lines with this text").fill("at 6")
    await page.keyboard.press("Enter")
    await expect(texts).to_have_text(["at 6"])
    await page.keyboard.press("Escape")
    await expect(texts).to_have_count(7)
    await page.get_by_role("button", name="Remove lantern").click()
    await expect(names).to_have_text(["tide"] * 3)


async def test_log_of_a_job_that_runs_again_is_followed(
    other_log_path: Path, log_path: Path, conductor: SimulatedConductor, user: BrowserUser
) -> None:
    append_at(log_path, 1)
    append_at(other_log_path, 2)
    page = await user.open_page("/logs?job=lantern&job=tide")
    texts = page.locator(".row.line .text")
    await expect(texts).to_have_text(["at 1", "at 2"])
    conductor.finish("tide")
    await expect(page.locator(".row.marker")).to_contain_text("End: the job has finished")
    conductor.launch("tide", 2, workspace=str(other_log_path.parent))
    append_at(other_log_path, 3)
    await expect(texts).to_have_text(["at 1", "at 2", "at 3"])


async def test_view_of_logs_says_what_is_missing(log_path: Path, user: BrowserUser) -> None:
    append_at(log_path, 1)
    page = await user.open_page("/logs")
    await expect(page.locator(".log-message")).to_have_text("Add a job to see its log here.")
    await page.goto(f"{user.address}/logs?job=lantern&job=nobody")
    note = page.locator(".log-note:not([hidden])")
    await expect(note).to_contain_text("nobody: ")
    await expect(page.locator(".row.line .text")).to_have_text("at 1")
    # It stays while the reader selects lines.
    await page.get_by_role("button", name="Line 1", exact=True).click()
    await page.keyboard.press("Escape")
    await expect(note).to_contain_text("nobody: ")
    await page.goto(f"{user.address}/logs?" + "&".join(f"job=no{n}" for n in range(10)))
    await expect(page.locator(".log-job")).to_have_count(8)
    await expect(page.locator(".logs-view > .bar").first).to_contain_text("2 more not shown")


async def test_logs_of_several_jobs_are_shown_before_the_stream_opens(
    other_log_path: Path, log_path: Path, user: BrowserUser
) -> None:
    append_at(log_path, 1, 3)
    append_at(other_log_path, 2, 4)
    await user.context.add_init_script("delete window.SharedWorker")

    async def refuse(route: Route) -> None:
        await route.abort()

    await user.context.route("**/api/stream?*", refuse)
    page = await user.open_page("/logs?job=lantern&job=tide")
    texts = page.locator(".row.line .text")
    await expect(texts).to_have_text([f"at {second}" for second in range(1, 5)])
    await expect(page.locator("#connection")).to_contain_text("Not live")
    await user.context.unroute("**/api/stream?*", refuse)
    append_at(other_log_path, 5)
    append_at(log_path, 6)
    await expect(texts).to_have_text([f"at {second}" for second in range(1, 7)])


async def test_level_filter_and_place_are_kept_when_a_job_is_added_or_removed(
    other_log_path: Path, log_path: Path, user: BrowserUser
) -> None:
    append_series(log_path, 600, "even", start_s=0)
    append_series(other_log_path, 600, "odd", start_s=1)
    page = await user.open_page("/logs?job=lantern")
    await page.get_by_label("Only lines with this text").fill("even")
    await page.keyboard.press("Enter")
    await page.get_by_label("Level", exact=True).select_option("info")
    row = log_row(page, 600)
    await expect(row).to_be_visible()
    await scroll_up(page, 4000)
    await expect(row).to_be_hidden()
    middle = await find_middle(page)
    await add_job(page, "tide")
    await expect(page.get_by_label("Job to add")).to_be_hidden()
    await expect(page.get_by_label("Only lines with this text")).to_have_value("even")
    await expect(page.get_by_label("Level", exact=True)).to_have_value("info")
    await expect(log_row(page, middle)).to_be_in_viewport()
    await page.get_by_role("button", name="Remove tide").click()
    await expect(page.locator(".log-job")).to_have_count(1)
    await expect(log_row(page, middle)).to_be_in_viewport()
    await expect(page.get_by_label("Only lines with this text")).to_have_value("even")
    assert "level=info&text=even&time=2026-11-24T03" in page.url
    await page.keyboard.press("G")
    await expect(row).to_be_in_viewport()
    assert "time=" not in page.url


async def find_middle(page: Page) -> int:
    """Return the number of the line in the middle of the view."""
    return int(
        await page.locator(".log-rows").evaluate(
            """(rows) => {
              const { top, left, height } = rows.getBoundingClientRect();
              const row = document.elementFromPoint(left + 300, top + height / 2).closest(".row");
              return row.querySelector(".number").textContent;
            }"""
        )
    )


async def test_adding_a_job_by_keyboard_takes_a_choice_and_a_button(
    other_log_path: Path, log_path: Path, conductor: SimulatedConductor, user: BrowserUser
) -> None:
    append_at(log_path, 1)
    append_at(other_log_path, 2)
    conductor.launch("vale", 2, workspace=str(other_log_path.parent))
    page = await user.open_page("/logs?job=lantern")
    choice = page.get_by_label("Job to add")
    await expect(choice.locator("option")).to_have_text(["tide", "vale"])
    await choice.focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowUp")
    await expect(page.locator(".log-job")).to_have_count(1)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator(".log-job")).to_have_count(2)
    # The focus is where it was.
    await expect(page.get_by_role("button", name="Add", exact=True)).to_be_focused()
    await expect(choice.locator("option")).to_have_text(["vale"])


async def test_view_goes_on_with_a_log_that_took_the_place_of_another(
    browser: Browser, other_log_path: Path, log_path: Path, tmp_path: Path
) -> None:
    append_at(log_path, 1, 2, 3)
    append_at(other_log_path, 4)
    port = free_port()
    options = ("--port", port, "--drain-timeout-s", 0)
    async with open_browser_user(browser, f"http://127.0.0.1:{port}", "replaced_log") as someone:
        async with run_server(tmp_path, *options) as running:
            page = await someone.open_page("/logs?job=lantern&job=tide")
            texts = page.locator(".row.line .text")
            await expect(texts).to_have_text([f"at {second}" for second in range(1, 5)])
            await expect(page.locator("#connection")).to_contain_text("Live")
            running.send_signal(signal.SIGTERM)
            await running.wait()
        log_path.unlink()
        append_at(log_path, 5, 6)
        async with run_server(tmp_path, *options):
            await expect(texts).to_have_text([f"at {second}" for second in range(4, 7)])
            await expect(page.locator(".log-note:not([hidden])")).to_contain_text("lantern: ")
