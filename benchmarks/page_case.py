"""The page in Chromium: its log view, the sheets of a job, and the list of jobs."""

import argparse
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import Browser

from benchmarks.page_list import measure_list
from benchmarks.page_log import measure_log
from benchmarks.page_sheets import measure_sheets
from tests.support.browser import connect_browser, run_chromium

PageMeasurement = Callable[[Path, Browser], Awaitable[dict[str, float]]]

MEASUREMENTS: dict[str, PageMeasurement] = {
    "log": measure_log,
    "sheets": measure_sheets,
    "list": measure_list,
}


async def page(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """A log of 1,000,000 lines, a job of 300 sheets and a list of 1,000 jobs, while they change."""
    del options
    figures: dict[str, float] = {}
    faults = 0.0
    for name, measure in MEASUREMENTS.items():
        (place := folder / name).mkdir()
        # A browser of its own: memory and tasks are those of all pages.
        with tempfile.TemporaryDirectory() as profile, run_chromium(Path(profile)) as address:
            async with connect_browser(address) as browser:
                found = await measure(place, browser)
        faults += found.pop("faults")
        figures |= {f"{name}_{figure}": value for figure, value in found.items()}
    return figures | {"faults": faults}
