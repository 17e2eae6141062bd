"""Job list in a browser."""

from pathlib import Path

from playwright.async_api import expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser
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
    await expect(busy.locator(".note")).to_have_text("Sheet 2 is at work.")
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
    await expect(icon).to_have_attribute("href", "/static/icons/failed.svg")
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


async def test_keyboard_steps_through_jobs_and_opens_one(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    launch_each_status(conductor)
    page = await user.open_page()
    await expect(page.locator(".job")).to_have_count(5)
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


async def test_empty_job_list_explains_how_to_submit(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    page = await user.open_page()
    await expect(page.locator(".empty")).to_contain_text("Submit a score to the conductor")
    conductor.launch("first", 1)
    await expect(page.locator(".job .name")).to_have_text("first")
    await expect(page.locator(".empty")).to_be_hidden()


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


async def test_job_named_like_a_folder_explains_why_it_has_no_page(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("..", 2)
    page = await user.open_page()
    await expect(page.locator(".job .reason")).to_contain_text("No page")
    await page.keyboard.press("j")
    await expect(page.locator(".job .name")).to_be_focused()
    await page.get_by_label("Filter jobs by name").fill("..")
    await page.keyboard.press("Enter")
    await expect(page.locator("#announcer")).to_contain_text("No page")
    assert page.url == f"{user.address}/?name=.."


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


async def test_order_is_kept_while_the_pointer_is_on_the_list(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 2)
    conductor.launch("b", 2)
    page = await user.open_page()
    await expect(page.locator(".job")).to_have_count(2)
    before = await job_names(page)
    await page.locator(".job").first.hover()
    conductor.fail_sheet(before[1], 1)
    conductor.finish(before[1], "failed")
    await expect(page.locator(".job", has_text="failed")).to_have_count(1)
    assert await job_names(page) == before
    await page.mouse.move(5, 700)
    await expect(page.locator(".job .name").first).to_have_text(before[1])


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
        await expect(page.locator(".job, .row.line").first).to_be_visible()
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await page.evaluate(wide), path
