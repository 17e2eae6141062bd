"""The page's log view with a million lines behind it and a thousand new ones a second."""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from playwright.async_api import Browser, Page

from benchmarks.processes import private_kib, server
from marianne_stream.demo.conductor import SimulatedConductor
from tests.support.browser import chromium, driven, person

LINES = 1_000_000
RATE = 1000
BATCHES = 20
SECONDS = 10.0
KEYS = 40

# More than this is a fault.
ANSWER_LIMIT_MS = 100.0
MEMORY_LIMIT_MIB = 300.0

# From the key to the next picture that shows what it did.
ANSWER = """async (key) => {
  const drawn = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const began = performance.now();
  document.querySelector(".log-rows").dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true }));
  await drawn();
  return performance.now() - began;
}"""


async def page(folder: Path, options: argparse.Namespace) -> dict[str, float]:  # noqa: ARG001
    """How long the page takes to answer a key while lines come, and what it holds."""
    (workspace := folder / "ws").mkdir()
    log = workspace / "marianne.log"
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    conductor.launch("a", 4, workspace=str(workspace))
    await asyncio.to_thread(write, log, 1, LINES)
    try:
        with tempfile.TemporaryDirectory() as place, chromium(Path(place)) as address:
            async with (
                server(folder) as running,
                driven(address) as browser,
                person(browser, running.address, "benchmark") as someone,
            ):
                began = time.perf_counter()
                shown = await someone.open("/jobs/a")
                await shown.get_by_text(f"line {LINES} of many").wait_for()
                figures = {"first_lines_ms": 1000 * (time.perf_counter() - began)}
                figures |= await used(shown, log)
                memory_mib = await memory_kib(browser) / 1024
                slow = figures["key_worst_ms"] > ANSWER_LIMIT_MS
                faults = slow + (memory_mib > MEMORY_LIMIT_MIB)
                return figures | {"memory_mib": memory_mib, "faults": faults}
    finally:
        await conductor.kill()


async def used(shown: Page, log: Path) -> dict[str, float]:
    """What a page does while a thousand lines a second come, and somebody looks around in it."""
    writing = asyncio.create_task(keep_writing(log))
    answers = []
    for turn in range(KEYS):
        await asyncio.sleep(SECONDS / KEYS)
        answers.append(await shown.evaluate(ANSWER, "kjf"[turn % 3]))
    await writing
    last = LINES + int(RATE * SECONDS)
    await shown.get_by_text(f"line {last} of many").wait_for()
    began = time.perf_counter()
    await shown.keyboard.press("g")
    await shown.get_by_text("line 1 of many", exact=True).wait_for()
    to_start_s = time.perf_counter() - began
    began = time.perf_counter()
    await shown.get_by_label("Search the whole log").fill(f"line {LINES // 2} of")
    await shown.keyboard.press("Enter")
    await shown.locator(".row.current").wait_for()
    found_s = time.perf_counter() - began
    session = await shown.context.new_cdp_session(shown)
    heap = await session.send("Runtime.getHeapUsage")
    return {
        "key_p50_ms": statistics.median(answers),
        "key_worst_ms": max(answers),
        "heap_mib": heap["usedSize"] / 1024**2,
        "heap_all_mib": heap["totalSize"] / 1024**2,
        "rows_in_the_page": await shown.locator(".row").count(),
        "to_the_beginning_ms": 1000 * to_start_s,
        "search_to_the_middle_ms": 1000 * found_s,
    }


async def memory_kib(browser: Browser) -> int:
    """What the process of the page holds: the largest of the browser's that show any."""
    session = await browser.new_browser_cdp_session()
    found = await session.send("SystemInfo.getProcessInfo")
    pids = [one["id"] for one in found["processInfo"] if one["type"] == "renderer"]
    return max(map(private_kib, pids))


async def keep_writing(log: Path) -> None:
    """A thousand lines a second."""
    each = RATE // BATCHES
    number = LINES
    began = time.monotonic()
    for batch in range(1, int(SECONDS * BATCHES) + 1):
        write(log, number + 1, number + each)
        number += each
        await asyncio.sleep(max(0.0, began + batch / BATCHES - time.monotonic()))


def write(log: Path, first: int, last: int) -> None:
    """Appends numbered lines."""
    with log.open("a", encoding="utf-8") as file:
        file.writelines(
            f"2026-11-24T03:00:00.119 [info] line {number} of many\n"
            for number in range(first, last + 1)
        )
