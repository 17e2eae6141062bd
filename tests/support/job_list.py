"""Jobs of each status, and the names that the page lists."""

import time

from playwright.async_api import Page

from marianne_stream.demo.simulated_conductor import SimulatedConductor


def launch_each_status(conductor: SimulatedConductor) -> None:
    """Launch jobs of each status."""
    for job_id in ("done", "broken", "resting", "busy", "stopped"):
        conductor.launch(job_id, 4)
        conductor.complete_sheet(job_id, 1)
    for number in (2, 3, 4):
        conductor.complete_sheet("done", number)
    conductor.finish("done")
    conductor.fail_sheet("broken", 2, "The wind took it")
    conductor.finish("broken", "failed")
    conductor.pause("resting")
    conductor.dispatch("busy", 2)
    # Ends are known to the millisecond, and the list begins with the last one.
    time.sleep(0.002)
    conductor.cancel("stopped")


async def job_names(page: Page) -> list[str]:
    """Return the names of the jobs in the order of the page."""
    return await page.locator(".job .name").all_inner_texts()
