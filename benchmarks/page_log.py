"""The page's log view with a million lines and a thousand new ones a second."""

import asyncio
import statistics
import time
from pathlib import Path

from playwright.async_api import Browser, Page

from benchmarks.browser_tasks import renderer_memory_kib, trace_tasks
from benchmarks.processes import run_server
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import open_browser_user

LINE_COUNT = 1_000_000
LINES_PER_S = 1000
WRITES_PER_S = 20
DURATION_S = 10.0
KEY_COUNT = 40

# More than this is a fault.
MAX_KEY_LATENCY_MS = 100.0
MAX_MEMORY_MIB = 300.0

# From a key to the next frame that shows its effect.
MEASURE_KEY_SCRIPT = """async (key) => {
  const drawn = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const began = performance.now();
  document.querySelector(".log-rows").dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true }));
  await drawn();
  return performance.now() - began;
}"""


async def measure_log(folder: Path, browser: Browser) -> dict[str, float]:
    """Latency of the page's response to a key while lines arrive, its tasks and its memory."""
    (workspace := folder / "ws").mkdir()
    log = workspace / "marianne.log"
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    conductor.launch("a", 4, workspace=str(workspace))
    await asyncio.to_thread(write_lines, log, 1, LINE_COUNT)
    try:
        async with (
            run_server(folder) as running,
            open_browser_user(browser, running.address, "benchmark-log") as someone,
        ):
            async with trace_tasks(browser) as tasks:
                began = time.perf_counter()
                shown = await someone.open_page("/jobs/a")
                await shown.get_by_text(f"line {LINE_COUNT} of many").wait_for()
                figures = {"first_lines_ms": 1000 * (time.perf_counter() - began)}
                figures |= await use_log(shown, log)
            figures |= tasks.to_figures()
            figures["memory_mib"] = await renderer_memory_kib(browser) / 1024
        figures["faults"] += figures["key_worst_ms"] > MAX_KEY_LATENCY_MS
        figures["faults"] += figures["memory_mib"] > MAX_MEMORY_MIB
        return figures
    finally:
        await conductor.kill()


async def use_log(tab: Page, log: Path) -> dict[str, float]:
    """Measure the page with a thousand lines a second while a user moves in the log."""
    writing = asyncio.create_task(write_continuously(log))
    answers = []
    for turn in range(KEY_COUNT):
        await asyncio.sleep(DURATION_S / KEY_COUNT)
        answers.append(await tab.evaluate(MEASURE_KEY_SCRIPT, "kjf"[turn % 3]))
    await writing
    last = LINE_COUNT + int(LINES_PER_S * DURATION_S)
    await tab.get_by_text(f"line {last} of many", exact=True).wait_for()
    began = time.perf_counter()
    await tab.keyboard.press("g")
    await tab.get_by_text("line 1 of many", exact=True).wait_for()
    to_start_s = time.perf_counter() - began
    began = time.perf_counter()
    await tab.get_by_label("Search the whole log").fill(f"line {LINE_COUNT // 2} of")
    await tab.keyboard.press("Enter")
    await tab.locator(".row.current").wait_for()
    found_s = time.perf_counter() - began
    session = await tab.context.new_cdp_session(tab)
    heap = await session.send("Runtime.getHeapUsage")
    return {
        "key_p50_ms": statistics.median(answers),
        "key_worst_ms": max(answers),
        "heap_mib": heap["usedSize"] / 1024**2,
        "heap_all_mib": heap["totalSize"] / 1024**2,
        "rows_in_the_page": await tab.locator(".row").count(),
        "to_the_beginning_ms": 1000 * to_start_s,
        "search_to_the_middle_ms": 1000 * found_s,
    }


async def write_continuously(log: Path) -> None:
    """Append a thousand lines a second."""
    each = LINES_PER_S // WRITES_PER_S
    number = LINE_COUNT
    began = time.monotonic()
    for batch in range(1, int(DURATION_S * WRITES_PER_S) + 1):
        write_lines(log, number + 1, number + each)
        number += each
        await asyncio.sleep(max(0.0, began + batch / WRITES_PER_S - time.monotonic()))


def write_lines(log: Path, first: int, last: int) -> None:
    """Append numbered lines."""
    with log.open("a", encoding="utf-8") as file:
        file.writelines(
            f"2026-11-24T03:00:00.119 [info] line {number} of many\n"
            for number in range(first, last + 1)
        )
