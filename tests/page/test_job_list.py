"""Sections of the job list: order, rows, and what the page says around them."""

import asyncio
import re
import time

import pytest
from playwright.async_api import Page, Route, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser
from tests.support.job_list import job_names, launch_each_status
from tests.support.waiting import wait_for_value, wait_until


async def test_jobs_are_in_sections_and_failures_can_be_marked_as_seen(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    launch_each_status(conductor)
    conductor.launch("held", 3)
    conductor.dispatch("held", 1)
    conductor.hold_sheet("held", 1)
    conductor.submit("later", 2)
    page = await user.open_page()
    await expect(page.locator(".job")).to_have_count(7)
    needs, done = page.locator("[data-section=attention]"), page.locator("[data-section=done]")
    await expect(needs.locator(".name")).to_have_text(["broken", "held", "resting"])
    await expect(page.locator("[data-section=running] .name")).to_have_text(["busy"])
    await expect(page.locator("[data-section=queued] .name")).to_have_text(["later"])
    await expect(done.locator(".name")).to_have_text(["stopped", "done"])
    await expect(page.locator("h2:visible")).to_have_text(
        ["Needs you 3", "Running 1", "Queued 1", "Done 2"]
    )
    broken = page.locator(".job", has_text="broken")
    await expect(broken.locator(".note")).to_have_text("The wind took it")
    await expect(needs.locator(".job", has_text="held").locator(".note")).to_have_text(
        "Sheet 1 waits for a person's decision."
    )
    parts = broken.locator(".part")
    assert await parts.evaluate_all("parts => parts.map((part) => part.dataset.kind)") == [
        *("completed", "failed", "open")
    ]
    seen = page.get_by_role("button", name="Seen: failure of broken")
    await seen.click()
    await expect(done.locator(".name", has_text="broken")).to_be_visible()
    await expect(page).to_have_title("Jobs \N{MIDDLE DOT} Marianne")
    await expect(page.locator(".job .name:focus")).to_have_text("held")
    await page.reload()
    await expect(needs.locator(".name")).to_have_text(["held", "resting"])
    await seen.click()
    await expect(needs.locator(".name", has_text="broken")).to_be_visible()
    await seen.click()
    conductor.resume("broken")
    await expect(broken.locator(".status-label")).to_have_text("running")
    await asyncio.sleep(1.1)  # Ends within a second of each other are the same.
    conductor.fail_sheet("broken", 2, "It took it again")
    conductor.finish("broken", "failed")
    await page.mouse.move(5, 5)
    await page.locator("h1").click()
    await expect(needs.locator(".name", has_text="broken")).to_be_visible()


async def test_click_on_a_column_sorts_and_the_address_keeps_it(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    for job_id, sheets in (("b-10", 1), ("b-9", 3), ("a", 2)):
        conductor.launch(job_id, 4)
        for number in range(sheets):
            conductor.complete_sheet(job_id, number + 1)
    page = await user.open_page()
    await expect(page.locator(".job")).to_have_count(3)
    assert await job_names(page) == ["a", "b-9", "b-10"]
    column = page.locator(".columns").get_by_role("button", name="Sheets")
    await column.click()
    assert await job_names(page) == ["b-9", "a", "b-10"]
    assert page.url.endswith("/?sort=sheets")
    await expect(column).to_have_attribute("aria-pressed", "true")
    await column.click()
    assert page.url.endswith("/?sort=sheets&order=ascending")
    await page.reload()
    await expect(page.locator(".job")).to_have_count(3)
    assert await job_names(page) == ["b-10", "a", "b-9"]
    await column.click()
    assert page.url.endswith("/")
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.get_by_label("Sort by").and_(page.locator("select")).select_option("name")
    assert await job_names(page) == ["a", "b-9", "b-10"]
    await page.get_by_role("button", name="Ascending. Sort descending").click()
    assert await job_names(page) == ["b-10", "b-9", "a"]
    assert page.url.endswith("/?sort=name&order=descending")


async def test_list_of_1000_jobs_draws_only_those_near_the_window(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    for number in range(1000):
        conductor.submit(f"job-{number}", 4)
    page = await user.open_page()
    await expect(page.locator("[data-section=queued] h2")).to_have_text("Queued 1,000")
    assert await page.locator(".job").count() < 60
    first = page.locator(".job").first
    await expect(first).to_have_attribute("aria-setsize", "1000")
    await page.keyboard.press("G")
    last = page.locator(".job .name:focus")
    await expect(last).to_have_text("job-999")
    await expect(last).to_be_in_viewport()
    assert await page.locator(".job").count() < 60
    await page.evaluate("scrollTo(0, 20000)")
    middle = page.locator(".job[aria-posinset='300']")
    await expect(middle).to_be_visible()
    # The columns and the heading of the section stay in sight, and the focus stays where it was.
    await expect(page.locator(".columns")).to_be_in_viewport()
    await expect(page.locator("[data-section=queued] h2")).to_be_in_viewport()
    await expect(last).to_have_text("job-999")
    await page.keyboard.press("k")
    await expect(page.locator(".job .name:focus")).to_have_text("job-998")
    await expect(page.locator(".job .name:focus")).to_be_in_viewport()


LONG_NAMES = (
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenfabrik-2026-november",
    "夜间报告生成器第三部分所有灯笼的完整清单" * 3,
    "x" * 60,
    "تقرير الليل عن كل الفوانيس في المدينة القديمة بعد منتصف الليل",
)

# Pairs of visible cells of a row that share more than a pixel, and cells that leave their row.
FIND_OVERLAPS = """() => {
  const CELLS = ".status, .title, .sheet-strip, .cell, .note, .seen";
  const found = [];
  const seen = (element) =>
    element.offsetWidth > 1 && element.checkVisibility({ visibilityProperty: true });
  for (const row of document.querySelectorAll(".job")) {
    const cells = [...row.querySelectorAll(CELLS)].filter(seen);
    const boxes = cells.map((cell) => [cell.className, cell.getBoundingClientRect()]);
    const outer = row.getBoundingClientRect();
    for (const [name, box] of boxes) {
      if (box.left < outer.left - 1 || box.right > outer.right + 1) found.push(`${name} leaves`);
      if (box.top < outer.top - 1 || box.bottom > outer.bottom + 1) found.push(`${name} sticks`);
    }
    boxes.forEach(([a, one], index) => boxes.slice(index + 1).forEach(([b, other]) => {
      const width = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const height = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      if (width > 1 && height > 1) found.push(`${a} on ${b}`);
    }));
  }
  return found;
}"""


@pytest.mark.parametrize("width", [1440, 1280, 1100, 820, 390, 360])
async def test_no_column_overlaps_another_whatever_the_language(
    user: BrowserUser, conductor: SimulatedConductor, width: int
) -> None:
    for number, name in enumerate(LONG_NAMES):
        conductor.launch(name, 300)
        conductor.complete_sheet(name, 1)
        conductor.fail_sheet(name, 2, f"{name} {name}")
        if number % 2:
            conductor.finish(name, "failed")
    conductor.set_status(LONG_NAMES[0], roster="waiting_for_an_external_dependency_of_the_score")
    conductor.submit("queued", 3)
    conductor.launch("held", 4)
    conductor.dispatch("held", 1)
    conductor.limit_rate("held", 1, 3000, is_reported=True)
    conductor.launch("over", 1)
    conductor.complete_sheet("over", 1)
    conductor.finish("over")
    conductor.launch("given up", 3)
    conductor.cancel("given up")
    page = await user.open_page()
    await page.set_viewport_size({"width": width, "height": 900})
    await expect(page.locator(".job")).to_have_count(8)
    await expect(page.locator("[data-section=done] .job")).to_have_count(2)
    await expect(page.locator(".job", has_text="held").locator(".note")).not_to_be_empty()
    assert await page.evaluate(FIND_OVERLAPS) == []
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await page.evaluate(wide)


async def test_conductors_limits_explain_why_jobs_wait(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.daemon.pressure_level = "high"
    conductor.rate_limits_until["claude-code"] = time.time() + 3000
    conductor.launch("busy", 4)
    conductor.submit("later", 2)
    page = await user.open_page()
    notices = page.locator(".list-notices .notice")
    await expect(notices).to_have_text(
        [
            "The conductor is under high pressure: it delays sheets and rejects new jobs.",
            re.compile(r"^claude-code has reached its rate limit until (\d+ \w+, )?\d\d:\d\d\.$"),
        ]
    )
    await expect(page.locator("[data-section=running] .detail")).to_have_text(
        "Conductor 0.1.0: 1 of 15 places in use"
    )
    await expect(page.locator(".job", has_text="later").locator(".note")).to_have_text(
        re.compile(r"^Submitted \d\d:\d\d\. The conductor's host is under pressure\.$")
    )
    # A window that joins an open stream gets what it needs from the worker.
    second = await user.open_page()
    await expect(second.locator(".list-notices .notice")).to_have_count(2)


async def test_summary_tells_what_ended_since_the_last_visit(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    page = await user.open_page()
    await expect(page.locator(".empty")).to_contain_text("No jobs yet.")
    await expect(page.locator(".visit-summary")).to_be_hidden()
    conductor.launch("done", 1)
    conductor.launch("broken", 2)
    await expect(page.locator(".job .status-label")).to_have_text(["running", "running"])
    conductor.complete_sheet("done", 1)
    conductor.finish("done")
    conductor.fail_sheet("broken", 1, "The wind took it")
    conductor.finish("broken", "failed")
    await expect(page.locator(".job .status-label")).to_have_text(["failed", "completed"])
    await wait_for_value(lambda: count_recorded_ends(page), lambda count: count == 2)
    # As if this visit had ended an hour ago.
    await page.evaluate(
        """() => localStorage.setItem("marianne-stream visit",
          JSON.stringify({ since: null, at: Date.now() - 3_600_000 }))"""
    )
    await page.reload()
    summary = page.locator(".visit-summary")
    await expect(summary).to_contain_text("While you were away")
    await expect(summary).to_contain_text("1 failed, 1 completed.")
    await summary.locator("summary").click()
    await expect(summary.locator("li").first).to_contain_text("The wind took it")
    await page.reload()
    await expect(summary).to_contain_text("1 failed, 1 completed.")
    await page.get_by_role("button", name="Hide the summary").click()
    await expect(summary).to_be_hidden()
    await page.reload()
    await expect(page.locator(".job")).to_have_count(2)
    await expect(summary).to_be_hidden()


async def test_visit_goes_on_while_any_view_of_the_page_is_open(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("busy", 2)
    job = await user.open_page("/jobs/busy")
    await expect(job.locator("#connection")).to_have_text("Live from the conductor")
    await wait_for_value(
        lambda: job.evaluate("""localStorage.getItem("marianne-stream visit")"""), bool
    )


async def test_summary_is_requested_again_after_a_failure(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("done", 1)
    page = await user.open_page()
    await page.clock.install()
    await page.evaluate(
        """() => localStorage.setItem("marianne-stream visit",
          JSON.stringify({ since: null, at: Date.now() - 3_600_000 }))"""
    )
    requests: list[str] = []

    async def fail_once(route: Route) -> None:
        requests.append(route.request.url)
        if len(requests) == 1:
            await route.fulfill(status=503, json={"code": "unavailable", "detail": "Busy."})
        else:
            await route.continue_()

    await page.route("**/api/summary*", fail_once)
    await page.reload()
    await wait_until(lambda: len(requests) == 1)
    await page.clock.run_for(31_000)
    await expect(page.locator(".visit-summary")).to_contain_text("nothing ended")
    # It is not requested again once the visit has lasted a while.
    await page.clock.run_for(91_000)
    await wait_until(lambda: len(requests) >= 2)
    assert len(requests) <= 3


async def count_recorded_ends(page: Page) -> int:
    """Return the number of ends that the server has recorded."""
    count: int = await page.evaluate(
        """async () => {
          const response = await fetch("/api/summary?since=2020-01-01T00:00:00Z");
          return (await response.json()).ended.length;
        }"""
    )
    return count
