"""Job list in a browser."""

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Locator, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser, find_too_wide
from tests.support.job_list import job_names, launch_each_status
from tests.support.processes import ManagedProcess


async def test_job_list_shows_status_progress_and_times(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    launch_each_status(conductor)
    page = await user.open_page()
    busy = page.locator(".job", has_text="busy")
    await expect(busy.locator(".status-label")).to_have_text("running")
    await expect(busy.locator(".count")).to_have_text("1 / 4")
    await expect(busy.locator(".note")).to_have_text(
        re.compile(r"^Started \d\d:\d\d\. Sheet 2 is at work\.$")
    )
    await expect(busy.locator(".duration .value")).to_contain_text(" s")
    done = page.locator(".job", has_text="done")
    await expect(done.locator(".status-label")).to_have_text("completed")
    await expect(done.locator(".duration .value")).to_contain_text(" s")
    await expect(done.locator(".changed")).to_contain_text("Ended ")
    assert await job_names(page) == ["broken", "resting", "busy", "stopped", "done"]
    shapes = await page.locator(".job .status .icon").evaluate_all(
        "icons => icons.map((icon) => icon.dataset.shape)"
    )
    assert len(set(shapes)) == 5
    await expect(page.get_by_role("progressbar").first).to_have_attribute("aria-valuemax", "4")


async def test_job_list_updates_and_tab_shows_failures(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("busy", 4)
    page = await user.open_page()
    await expect(page).to_have_title("Jobs · Marianne")
    row = page.locator(".job", has_text="busy")
    await expect(row.locator(".count")).to_have_text("0 / 4")
    conductor.complete_sheet("busy", 1)
    await expect(row.locator(".count")).to_have_text("1 / 4")
    conductor.fail_sheet("busy", 2)
    conductor.finish("busy", "failed")
    await expect(row.locator(".status-label")).to_have_text("failed")
    await expect(page).to_have_title("(1 failed) Jobs · Marianne")
    icon = page.locator("link[rel=icon]")
    await expect(icon).to_have_attribute("href", re.compile(r"/icons/failed\.svg$"))
    await expect(page.locator("#announcer")).to_have_text("busy: failed.")
    conductor.launch("later", 2)
    await expect(page.locator(".job")).to_have_count(2)
    conductor.remove("later")
    await expect(page.locator(".job")).to_have_count(1)


async def test_filters_by_status_and_name_are_kept_in_the_url(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    launch_each_status(conductor)
    page = await user.open_page()
    await page.get_by_role("button", name="failed").click()
    await expect(page.locator(".job")).to_have_count(1)
    assert page.url.endswith("/?status=failed")
    await page.keyboard.press("Escape")
    await expect(page.locator(".job")).to_have_count(5)
    await page.keyboard.press("/")
    await page.keyboard.type("ST")
    await expect(page.locator(".job")).to_have_count(2)
    assert page.url.endswith("/?name=ST")
    await page.reload()
    await expect(page.locator(".job")).to_have_count(2)
    await page.get_by_label("Filter jobs by name").fill("nothing")
    await expect(page.locator(".empty")).to_contain_text("No matching jobs.")
    await page.get_by_role("button", name="Clear the filters").click()
    await expect(page.locator(".job")).to_have_count(5)
    assert page.url == f"{user.address}/"


async def test_keyboard_steps_through_jobs_and_opens_one(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    launch_each_status(conductor)
    page = await user.open_page()
    # A step keeps the order for some seconds, and ends are known after the jobs.
    order = ["broken", "resting", "busy", "stopped", "done"]
    await expect(page.locator(".job .name")).to_have_text(order)
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await expect(page.locator(".job .name:focus")).to_have_text("resting")
    await page.keyboard.press("k")
    await expect(page.locator(".job .name:focus")).to_have_text("broken")
    await page.keyboard.press("G")
    await expect(page.locator(".job .name:focus")).to_have_text("done")
    await page.keyboard.press("g")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("broken")
    assert page.url.endswith("/jobs/broken")
    await page.keyboard.press("u")
    await expect(page.locator(".job")).to_have_count(5)
    await page.go_back()
    await expect(page.get_by_role("heading", level=1)).to_have_text("broken")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("Search the whole log")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_job_name_with_html_is_shown_as_text(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    odd = '<img src=x onerror="alert(1)"> 100% & "quoted" 苔'
    conductor.launch(odd, 2)
    page = await user.open_page()
    await expect(page.locator(".job .name")).to_have_text(odd)
    await page.locator(".job .name").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(odd)
    await expect(page.locator(".sheet")).to_have_count(2)


@pytest.mark.parametrize("job_id", [".", ".."])
async def test_job_named_like_a_folder_explains_why_it_has_no_page(
    user: BrowserUser, conductor: SimulatedConductor, job_id: str
) -> None:
    conductor.launch(job_id, 2)
    page = await user.open_page()
    await expect(page.locator(".job .reason")).to_contain_text("No page")
    await page.keyboard.press("j")
    await expect(page.locator(".job .name")).to_be_focused()
    await page.get_by_label("Filter jobs by name").fill(job_id)
    await page.keyboard.press("Enter")
    await expect(page.locator("#announcer")).to_contain_text("No page")
    assert page.url == f"{user.address}/?name={job_id}"


async def test_theme_is_kept_after_reload(user: BrowserUser, conductor: SimulatedConductor) -> None:
    conductor.launch("a", 1)
    page = await user.open_page()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(ground)
    await page.keyboard.press("t")
    dark = await page.evaluate(ground)
    assert dark != light
    await page.reload()
    assert await page.evaluate(ground) == dark


async def test_failed_job_needs_the_reader_at_once_and_the_row_under_the_pointer_stays(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    for job_id in ("a", "b", "c"):
        conductor.launch(job_id, 2)
    page = await user.open_page()
    running = page.locator("[data-section=running]")
    await expect(running.locator(".job")).to_have_count(3)
    first, second, third = await job_names(page)
    await running.locator(".job").nth(1).hover()
    conductor.launch("d", 2)
    names = running.locator(".job .name")
    await expect(names).to_have_text([first, second, "d", third])
    conductor.fail_sheet(first, 1)
    conductor.finish(first, "failed")
    await expect(page.locator("[data-section=attention] .name")).to_have_text([first])
    await expect(names).to_have_text([second, "d", third])
    await expect(page.locator("h2:visible")).to_have_text(["Needs you 1", "Running 3"])
    await page.mouse.move(5, 700)
    await expect(names).to_have_text(["d", second, third])


async def test_row_under_a_moving_pointer_stays_where_it_is_in_a_long_list(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    for number in range(20):
        conductor.launch(f"job-{number}", 2)
    page = await user.open_page()
    await expect(page.locator("[data-section=running] h2")).to_have_text("Running 20")
    names = await job_names(page)
    pointed, *_, third, second, first = names[7:]
    row = page.locator(".job", has=page.get_by_text(pointed, exact=True))
    failed = page.locator("[data-section=attention] .name")

    async def fail(job_id: str, count: int) -> None:
        conductor.fail_sheet(job_id, 1)
        conductor.finish(job_id, "failed")
        await expect(failed).to_have_count(count)

    # At the top, failures come into sight.
    await row.hover()
    await fail(first, 1)
    assert await page.evaluate("scrollY") == 0
    # The browser keeps no row where it is by itself.
    await page.evaluate("document.documentElement.style.overflowAnchor = 'none'; scrollTo(0, 100)")
    await row.hover()
    before = await row.bounding_box()
    await fail(second, 2)
    assert await row.bounding_box() == before
    # A mouse at rest tells no click.
    await page.evaluate("const now = Date.now(); Date.now = () => now + 10_000")
    await fail(third, 3)
    assert await row.bounding_box() != before


async def test_job_keeps_the_focus_when_it_changes_its_section(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    for job_id in ("a", "b"):
        conductor.launch(job_id, 2)
    page = await user.open_page()
    await expect(page.locator(".job")).to_have_count(2)
    await page.keyboard.press("j")
    focused = page.locator(".job .name:focus")
    await expect(focused).to_have_text((await job_names(page))[0])
    before = await focused.inner_text()
    for job_id in ("a", "b"):
        conductor.fail_sheet(job_id, 1)
        conductor.finish(job_id, "failed")
    needs = page.locator("[data-section=attention]")
    await expect(needs.locator(".job")).to_have_count(2)
    await expect(focused).to_have_text(before)
    # All that is called a failure is marked, also while the focus is in the list.
    await page.get_by_role("button", name="Mark all failures as seen").click()
    await expect(needs).to_be_hidden()
    await expect(page).to_have_title("Jobs · Marianne")


async def click_at(cell: Locator, button: Literal["left", "middle"]) -> None:
    """Click into a cell, whatever covers it."""
    box = await cell.bounding_box()
    assert box is not None
    await cell.page.mouse.click(box["x"] + 4, box["y"] + box["height"] / 2, button=button)


async def test_row_is_one_link_with_the_tooltips_of_its_cells(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("busy", 4)
    conductor.fail_sheet("busy", 1, "The wind took it")
    conductor.finish("busy", "failed")
    page = await user.open_page()
    row = page.locator(".job")
    await expect(row.locator(".note")).to_have_text("The wind took it")
    await row.hover()
    titles = (await row.locator(".name").get_attribute("title") or "").split("\n")
    assert [title.split(" ")[0] for title in titles] == [
        *("failed", "busy", "Started", "0", "Ended", "The")
    ]
    for cell in (".sheet-strip", ".note", ".name"):
        await click_at(row.locator(cell), "left")
        await expect(page.get_by_role("heading", level=1)).to_have_text("busy")
        await page.go_back()
        await expect(row).to_be_visible()
        async with page.context.expect_page() as opened:
            await click_at(row.locator(cell), "middle")
        other = await opened.value
        await expect(other.get_by_role("heading", level=1)).to_have_text("busy")
        await other.close()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")


async def test_job_opens_at_its_head_and_back_finds_the_list_as_it_was(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    for number in range(60):
        conductor.submit(f"job-{number}", 4)
    page = await user.open_page("/?name=job")
    await page.set_viewport_size({"width": 390, "height": 844})
    await expect(page.locator(".job").first).to_be_visible()
    await page.evaluate("scrollTo(0, document.body.scrollHeight)")
    last = page.locator(".job .name", has_text="job-59")
    await expect(last).to_be_in_viewport()
    before = await page.evaluate("scrollY")
    await last.click()
    await expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
    assert await page.evaluate("scrollY") == 0
    await page.go_back()
    await expect(last).to_be_in_viewport()
    assert await page.evaluate("scrollY") == before
    await last.click()
    await page.get_by_title("All jobs").click()
    await expect(page.get_by_label("Filter jobs by name")).to_have_value("job")
    await page.keyboard.press("u")
    await expect(page.get_by_label("Filter jobs by name")).to_have_value("")


async def test_page_of_360_pixels_does_not_scroll_sideways(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path, server: ManagedProcess
) -> None:
    del server
    launch_each_status(conductor)
    log_path.write_text(
        "".join(f"2026-11-24T00:00:00 [info] {'long ' * 40}{n}\n" for n in range(200))
    )
    page = await user.open_page()
    await page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/", "/jobs/lantern"):
        await page.goto(user.address + path)
        await expect(page.locator(".job, .sheets").first).to_be_visible()
        tab = page.get_by_role("tab", name="Log")
        if await tab.count():
            await tab.click()
            await expect(page.locator(".row.line").last).to_be_visible()
        assert await find_too_wide(page) == [], path
