"""The page's job list with a thousand jobs that change all the time."""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page

from benchmarks.processes import run_server
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import connect_browser, open_browser_user, run_chromium

JOB_COUNT = 1000
CHANGES_PER_S = 20
DURATION_S = 15.0

# More CPU time of a task is a fault. Its duration depends on what else the machine does.
MAX_TASK_MS = 50.0

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


async def job_list(folder: Path, options: argparse.Namespace) -> dict[str, float]:  # noqa: ARG001
    """Tasks of the page with 1,000 jobs, while jobs change and a user scrolls and filters."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    for number in range(JOB_COUNT):
        conductor.launch(f"job-{number}", 8)
        if number % 3 == 0:
            conductor.finish(f"job-{number}", "failed" if number % 9 == 0 else "completed")
    try:
        with tempfile.TemporaryDirectory() as place, run_chromium(Path(place)) as address:
            async with (
                run_server(folder) as running,
                connect_browser(address) as browser,
                open_browser_user(browser, running.address, "benchmark") as someone,
            ):
                await someone.context.add_init_script(RECORD_FRAMES)
                async with trace_tasks(browser) as tasks:
                    began = time.perf_counter()
                    page = await someone.open_page()
                    await page.locator(".job").first.wait_for()
                    first_rows_ms = 1000 * (time.perf_counter() - began)
                    figures = await use_list(page, conductor)
                worst_ms = max(cpu_us for _, cpu_us in tasks) / 1000
                return figures | {
                    "first_rows_ms": first_rows_ms,
                    "worst_task_ms": max(wall_us for wall_us, _ in tasks) / 1000,
                    "worst_task_cpu_ms": worst_ms,
                    "faults": float(worst_ms > MAX_TASK_MS),
                }
    finally:
        await conductor.kill()


@asynccontextmanager
async def trace_tasks(browser: Browser) -> AsyncIterator[list[tuple[int, int]]]:
    """Record the tasks of all pages: duration and CPU time, in microseconds, at the end."""
    events: list[dict[str, Any]] = []
    tasks: list[tuple[int, int]] = []
    complete = asyncio.Event()
    session = await browser.new_browser_cdp_session()
    session.on("Tracing.dataCollected", lambda data: events.extend(data["value"]))
    session.on("Tracing.tracingComplete", lambda _: complete.set())
    categories = {"includedCategories": ["toplevel", "__metadata"]}
    await session.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": categories})
    yield tasks
    await session.send("Tracing.end")
    await complete.wait()
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks.extend(
        (event["dur"], event.get("tdur", 0))
        for event in events
        if (event["pid"], event["tid"]) in threads
        and "dur" in event
        and event["name"].endswith("RunTask")
    )


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
