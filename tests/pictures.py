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
from pathlib import Path

from playwright.async_api import Browser
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.support.browser import connect_browser, open_browser_user, run_chromium
from tests.support.external import CHECKOUT, require_program
from tests.support.processes import run_process

IMAGES = CHECKOUT / "docs" / "images"

# By then all of the demo's jobs have started, and one has failed.
PLAYED_S = 9.0

WATCHED_S = 5.0

# The limit for pictures in README, in bytes.
LARGEST_BYTES = 200_000

COLUMNS, LINES = 92, 12
JOBS = ("cathedral-of-moss", "lantern-festival", "tide-tables")

TERMINAL = """<style>
body {{ margin: 0; background: #0c0c0c; color: #d9d9d9; width: max-content; }}
pre {{ margin: 0; padding: 18px 22px; font: 15px/1.45 "DejaVu Sans Mono", monospace; }}
</style><pre><code>{code}</code></pre>"""


async def main() -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as folder, run_chromium(Path(folder)) as address:
        async with (
            run_process("-m", "marianne_stream", "demo", "--port", 0) as demo,
            connect_browser(address) as browser,
        ):
            await asyncio.sleep(PLAYED_S)
            await take_page(browser, demo.address)
            await take_terminal(browser, demo.address)
    for name in ("jobs", "job", "terminal"):
        size = (IMAGES / f"{name}.png").stat().st_size
        sys.stdout.write(f"docs/images/{name}.png: {size} bytes\n")
        assert size < LARGEST_BYTES


async def take_page(browser: Browser, address: str) -> None:
    """Take the job list in light and a job in dark."""
    for name, path, scheme in (("jobs", "/", "light"), ("job", f"/jobs/{JOBS[0]}", "dark")):
        size = {"width": 1240, "height": 420 if name == "jobs" else 720}
        async with open_browser_user(
            browser, address, name, viewport=size, color_scheme=scheme
        ) as someone:
            page = await someone.open_page(path)
            await page.locator(".job, .row.line").first.wait_for()
            await page.wait_for_timeout(1500)
            await page.screenshot(path=IMAGES / f"{name}.png")


def capture_watch(address: str) -> str:
    """Return the colored output of `watch` with three jobs, from a tmux terminal."""
    tmux = (require_program("tmux"), "-L", "pictures")
    verb = shlex.join([sys.executable, "-m", "marianne_stream", "watch", "--url", address, *JOBS])
    size = ("-x", str(COLUMNS), "-y", str(LINES))
    # The output remains when the jobs are over.
    command = [*tmux, "new-session", "-d", *size, f"{verb}; sleep 60"]
    subprocess.run(command, check=True, cwd=CHECKOUT)
    try:
        time.sleep(WATCHED_S)
        capture = [*tmux, "capture-pane", "-p", "-e"]
        return subprocess.run(capture, check=True, capture_output=True, text=True).stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)


async def take_terminal(browser: Browser, address: str) -> None:
    """Take the picture of `watch`."""
    shown = await asyncio.to_thread(capture_watch, address)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ marianne-stream watch " + " ".join(JOBS), style="bold"))
    console.print(Text.from_ansi(shown.rstrip()))
    html = console.export_html(theme=MONOKAI, inline_styles=True, code_format=TERMINAL)
    context = await browser.new_context(viewport={"width": 900, "height": 300})
    page = await context.new_page()
    await page.set_content(html)
    await page.locator("pre").screenshot(path=IMAGES / "terminal.png")
    await context.close()


if __name__ == "__main__":
    asyncio.run(main())
