"""The page's job list with a thousand jobs that change all the time."""

import asyncio
import statistics
import time
from pathlib import Path

from playwright.async_api import Browser, Page

from benchmarks.browser_tasks import trace_tasks
from benchmarks.processes import run_server
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import open_browser_user

JOB_COUNT = 1000
CHANGES_PER_S = 20
DURATION_S = 15.0

RECORD_FRAMES = """
window.frames_ms = [];
let before = performance.now();
const note = (now) => {
  window.frames_ms.push(now - before);
  before = now;
  requestAnimationFrame(note);
};
requestAnimationFrame(note);
"""


async def measure_list(folder: Path, browser: Browser) -> dict[str, float]:
    """Tasks of the page with 1,000 jobs, while jobs change and a user scrolls and filters."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    for number in range(JOB_COUNT):
        conductor.launch(f"job-{number}", 8)
        if number % 3 == 0:
            conductor.finish(f"job-{number}", "failed" if number % 9 == 0 else "completed")
    try:
        async with (
            run_server(folder) as running,
            open_browser_user(browser, running.address, "benchmark-list") as someone,
        ):
            await someone.context.add_init_script(RECORD_FRAMES)
            async with trace_tasks(browser) as tasks:
                began = time.perf_counter()
                page = await someone.open_page()
                await page.locator(".job").first.wait_for()
                first_rows_ms = 1000 * (time.perf_counter() - began)
                figures = await use_list(page, conductor)
            return figures | {"first_rows_ms": first_rows_ms} | tasks.to_figures()
    finally:
        await conductor.kill()


async def use_list(page: Page, conductor: SimulatedConductor) -> dict[str, float]:
    """Change jobs while a user scrolls, sorts and filters."""
    changing = asyncio.create_task(change_jobs(conductor))
    began = time.monotonic()
    turn = 0
    while time.monotonic() - began < DURATION_S:
        turn += 1
        await page.mouse.wheel(0, 700 if turn % 40 < 20 else -700)
        if turn % 25 == 0:
            columns = page.locator(".columns button:visible")
            await columns.nth(turn // 25 % await columns.count()).click()
        if turn % 40 == 0:
            await page.get_by_label("Filter jobs by name").fill("" if turn % 80 else "9")
        await asyncio.sleep(0.05)
    await changing
    frames = await page.evaluate("window.frames_ms.slice(-600)")
    return {
        "frame_p50_ms": statistics.median(frames),
        "frame_worst_ms": max(frames),
        "rows_in_the_page": await page.locator(".job").count(),
    }


async def change_jobs(conductor: SimulatedConductor) -> None:
    """Complete a sheet of one job after the other."""
    changes = int(DURATION_S * CHANGES_PER_S)
    began = time.monotonic()
    for change in range(changes):
        number = (change * 37) % JOB_COUNT
        job_id = f"job-{number}"
        if conductor.jobs[job_id].status == "running":
            conductor.complete_sheet(job_id, change % 8 + 1)
        await asyncio.sleep(max(0.0, began + (change + 1) / CHANGES_PER_S - time.monotonic()))
