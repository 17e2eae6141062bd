"""Tasks of the pages of a browser, and their memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser

from benchmarks.processes import process_memory_kib

# More CPU time of a task is a fault. Its duration depends on what else the machine does.
MAX_TASK_MS = 50.0

# The event of a trace that gives the address of a page.
NAVIGATION = "navigationStart"
CATEGORIES = ["toplevel", "blink.user_timing"]


class PageTasks:
    """Tasks that the main threads of the server's pages have run.

    The browser has pages of its own, such as that of its address field, whose tasks are longer.

    Attributes:
        wall_ms: longest duration of one, in milliseconds.
        cpu_ms: most CPU time of one, in milliseconds.
    """

    wall_ms = 0.0
    cpu_ms = 0.0

    def add(self, events: list[dict[str, Any]]) -> None:
        """Add the events of a trace."""
        threads = {
            (event["pid"], event["tid"])
            for event in events
            if event["name"] == NAVIGATION
            and event["args"]["data"]["documentLoaderURL"].startswith("http")
        }
        for event in events:
            is_page = (event["pid"], event["tid"]) in threads
            if is_page and "dur" in event and event["name"].endswith("RunTask"):
                self.wall_ms = max(self.wall_ms, event["dur"] / 1000)
                self.cpu_ms = max(self.cpu_ms, event.get("tdur", 0) / 1000)

    def to_figures(self) -> dict[str, float]:
        """Return the figures of a case."""
        return {
            "longest_task_ms": self.wall_ms,
            "longest_task_cpu_ms": self.cpu_ms,
            "faults": float(self.cpu_ms > MAX_TASK_MS),
        }


@asynccontextmanager
async def trace_tasks(browser: Browser) -> AsyncIterator[PageTasks]:
    """Record the tasks of the pages that are opened meanwhile; they are known at the end."""
    events: list[dict[str, Any]] = []
    tasks = PageTasks()
    complete = asyncio.Event()
    session = await browser.new_browser_cdp_session()
    session.on("Tracing.dataCollected", lambda data: events.extend(data["value"]))
    session.on("Tracing.tracingComplete", lambda _: complete.set())
    categories = {"includedCategories": CATEGORIES}
    await session.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": categories})
    yield tasks
    await session.send("Tracing.end")
    await complete.wait()
    tasks.add(events)


async def renderer_memory_kib(browser: Browser) -> int:
    """Return the memory of the largest renderer process."""
    session = await browser.new_browser_cdp_session()
    found = await session.send("SystemInfo.getProcessInfo")
    pids = [one["id"] for one in found["processInfo"] if one["type"] == "renderer"]
    return max(map(process_memory_kib, pids))
