"""The page of a job with 300 sheets, 20 of which change each second."""

import asyncio
import time
from pathlib import Path

from playwright.async_api import Browser

from benchmarks.browser_tasks import trace_tasks
from benchmarks.processes import run_server
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import open_browser_user

SHEET_COUNT = 300
SHEETS_PER_MOVEMENT = 25
CHANGES_PER_S = 20
DURATION_S = 15.0
OPENINGS = 5

# More is a fault.
MAX_FIRST_PAINT_MS = 500.0

# Time from the navigation to the first frame with the job's status, a row of the chart and a line.
RECORD_FIRST_PAINT_SCRIPT = """
window.firstPaintMs = new Promise((resolve) => {
  const shown = [".status-label:not(:empty)", ".gantt-row", ".log-rows .row"];
  const look = () => {
    if (shown.every((selector) => document.querySelector(selector)))
      setTimeout(() => resolve(performance.now()));
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
});
"""

# The files and responses of an opened page; streams are requested by its worker.
COUNT_REQUESTS_SCRIPT = """
(() => {
  const entries = [
    ...performance.getEntriesByType("navigation"),
    ...performance.getEntriesByType("resource"),
  ];
  return {
    requests: entries.length,
    kib: entries.reduce((sum, { transferSize }) => sum + transferSize, 0) / 1024,
  };
})()
"""


async def measure_sheets(folder: Path, browser: Browser) -> dict[str, float]:
    """Time to the first useful paint of a job, and tasks while its sheets change."""
    (workspace := folder / "ws").mkdir()
    (workspace / "marianne.log").write_text("the lanterns are lit\n" * 1000, encoding="utf-8")
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    movements = {
        number: (number - 1) // SHEETS_PER_MOVEMENT + 1 for number in range(1, SHEET_COUNT + 1)
    }
    conductor.launch("a", SHEET_COUNT, workspace=str(workspace), movements=movements)
    conductor.dispatch("a", 1)
    try:
        async with run_server(folder) as running:
            figures = await measure_openings(browser, running.address)
            async with (
                open_browser_user(browser, running.address, "benchmark-sheets") as someone,
                trace_tasks(browser) as tasks,
            ):
                page = await someone.open_page("/jobs/a")
                changing = asyncio.create_task(change_sheets(conductor))
                for _ in range(int(DURATION_S)):
                    await page.mouse.move(200, 400)
                    await page.mouse.wheel(0, 500)
                    await page.keyboard.press("ArrowDown")
                    await asyncio.sleep(1)
                await changing
        figures |= tasks.to_figures()
        figures["faults"] += figures["first_paint_ms"] > MAX_FIRST_PAINT_MS
        return figures
    finally:
        await conductor.kill()


async def measure_openings(browser: Browser, address: str) -> dict[str, float]:
    """Open the job several times with an empty cache."""
    paints: list[float] = []
    counts: dict[str, float] = {}
    for _ in range(OPENINGS):
        async with open_browser_user(browser, address, "benchmark-opening") as someone:
            await someone.context.add_init_script(RECORD_FIRST_PAINT_SCRIPT)
            page = await someone.open_page("/jobs/a")
            paints.append(await page.evaluate("window.firstPaintMs"))
            counts = await page.evaluate(COUNT_REQUESTS_SCRIPT)
    return {
        "first_paint_ms": sorted(paints)[OPENINGS // 2],
        "first_paint_worst_ms": max(paints),
        "requests": counts["requests"],
        "transferred_kib": counts["kib"],
    }


async def change_sheets(conductor: SimulatedConductor) -> None:
    """Dispatch and complete one sheet after the other."""
    changes = int(DURATION_S * CHANGES_PER_S)
    began = time.monotonic()
    for change in range(changes):
        number = change // 2 + 2
        if change % 2:
            conductor.complete_sheet("a", number)
        else:
            conductor.dispatch("a", number)
        await asyncio.sleep(max(0.0, began + (change + 1) / CHANGES_PER_S - time.monotonic()))
