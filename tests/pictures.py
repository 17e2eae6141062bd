"""`python -m tests.pictures`: take the pictures of README from the demo.

It needs Chromium, tmux, and fonts for the characters in the demo's jobs.
"""

import asyncio
import io
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import aiohttp
from playwright.async_api import Browser, ViewportSize
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.support.browser import connect_browser, open_browser_user, run_chromium
from tests.support.external import CHECKOUT, require_program
from tests.support.processes import run_process
from tests.support.waiting import wait_for_value

IMAGES = CHECKOUT / "docs" / "images"

# By then all of the demo's jobs have started.
PLAYED_S = 3.5

# Time from the start of a command until its picture is taken.
WATCHED_S = 6.0
SHOWN_S = 2.0

# The limit for pictures in README, in bytes.
LARGEST_BYTES = 200_000

COLUMNS, LINES = 92, 25
JOB, FAILING_JOB = "cathedral-of-moss", "lantern-festival"

# Completed sheets of the job in its picture: those of the first movement, and a later one.
JOB_SHEETS = 3

TERMINAL = """<style>
body {{ margin: 0; background: #0c0c0c; color: #d9d9d9; width: max-content; }}
pre {{ margin: 0; padding: 18px 22px; font: 15px/22px "DejaVu Sans Mono", monospace; }}
</style><pre><code>{code}</code></pre>"""


async def main() -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as folder, run_chromium(Path(folder)) as address:
        async with (
            run_process("-m", "marianne_stream", "demo", "--port", 0) as demo,
            connect_browser(address) as browser,
        ):
            await asyncio.sleep(PLAYED_S)
            await asyncio.gather(
                take_terminal(browser, demo.address, "watch", JOB, WATCHED_S),
                take_job(browser, demo.address),
            )
            await wait_for_job(demo.address, FAILING_JOB, lambda job: job["status"] == "failed")
            await take_page(browser, demo.address, "jobs", "/", "light")
            await take_terminal(browser, demo.address, "show", FAILING_JOB, SHOWN_S)
    for name in ("jobs", "job", "watch", "show"):
        size = (IMAGES / f"{name}.png").stat().st_size
        sys.stdout.write(f"docs/images/{name}.png: {size} bytes\n")
        assert size < LARGEST_BYTES


async def take_page(
    browser: Browser, address: str, name: str, path: str, scheme: Literal["light", "dark"]
) -> None:
    """Take a picture of a page."""
    size = ViewportSize(width=1240, height=540 if name == "jobs" else 720)
    async with open_browser_user(
        browser, address, name, viewport=size, color_scheme=scheme
    ) as someone:
        page = await someone.open_page(path)
        await page.locator(".job, .row.line").first.wait_for()
        await page.wait_for_timeout(1500)
        await page.screenshot(path=IMAGES / f"{name}.png")


async def take_job(browser: Browser, address: str) -> None:
    """Take the page of a job while its second movement runs."""
    await wait_for_job(address, JOB, lambda job: job["completed_sheets"] >= JOB_SHEETS)
    await take_page(browser, address, "job", f"/jobs/{JOB}", "dark")


async def wait_for_job(
    address: str, job_id: str, is_expected: Callable[[dict[str, Any]], bool]
) -> None:
    """Wait until a job has a state."""
    async with aiohttp.ClientSession(address) as session:

        async def read_job() -> dict[str, Any]:
            async with session.get(f"/api/jobs/{job_id}") as response:
                job: dict[str, Any] = await response.json()
                return job

        await wait_for_value(read_job, is_expected, timeout_s=60)


def capture(address: str, verb: str, job_id: str, duration_s: float) -> str:
    """Return the colored output of a command after some time, from a tmux terminal."""
    tmux = (require_program("tmux"), "-L", "pictures")
    command = [sys.executable, "-m", "marianne_stream", verb, "--url", address, job_id]
    size = ("-x", str(COLUMNS), "-y", str(LINES))
    # The output remains when the command is over.
    session = [*tmux, "new-session", "-d", *size, f"{shlex.join(command)}; sleep 60"]
    subprocess.run(session, check=True, cwd=CHECKOUT)
    try:
        time.sleep(duration_s)
        capture_pane = [*tmux, "capture-pane", "-p", "-e"]
        return subprocess.run(capture_pane, check=True, capture_output=True, text=True).stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)


async def take_terminal(
    browser: Browser, address: str, verb: str, job_id: str, duration_s: float
) -> None:
    """Take a picture of a command in a terminal."""
    shown = await asyncio.to_thread(capture, address, verb, job_id, duration_s)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ marianne-stream {verb} {job_id}", style="bold"))
    console.print(Text.from_ansi(shown.rstrip()))
    html = console.export_html(theme=MONOKAI, inline_styles=True, code_format=TERMINAL)
    context = await browser.new_context(viewport={"width": 900, "height": 300})
    page = await context.new_page()
    await page.set_content(html)
    await page.locator("pre").screenshot(path=IMAGES / f"{verb}.png")
    await context.close()


if __name__ == "__main__":
    asyncio.run(main())
