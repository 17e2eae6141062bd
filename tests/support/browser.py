"""Headless Chromium, and a user of the page in it."""

import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from tests.support.external import CHECKOUT, require_program

# Screenshots of a test run.
SCREENSHOTS = CHECKOUT / "build" / "screenshots"

# Sizes of screens at which each state of the page is looked at.
SIZES = ((1440, 900), (1280, 800), (820, 1180), (390, 844))
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")

# Connects to no other hosts than the servers of a test.
CHROMIUM_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--remote-debugging-port=0", "--hide-scrollbars", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Pages of the browser's own address field: they take a second of CPU time in each window.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
)

START_TIMEOUT_S = 30.0

# The browser's own messages about an unreachable server, which some tests cause.
NETWORK_ERRORS = ("net::ERR_", "Failed to load resource")

RECORD_POLICY_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@contextmanager
def run_chromium(folder: Path) -> Iterator[str]:
    """Run a browser process and yield the address of its DevTools.

    Args:
        folder: directory for its profile and log.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    path = require_program(next(filter(shutil.which, names), names[0]))
    place = folder / "DevToolsActivePort"
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [path, *CHROMIUM_ARGUMENTS, f"--user-data-dir={folder}", "about:blank"],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        # The port, and a path with a secret (Chrome DevTools Protocol).
        while not place.exists() or len(lines := place.read_text().splitlines()) < 2:
            assert process.poll() is None, (folder / "chromium.log").read_text()
            assert time.monotonic() < deadline, "the browser does not say where it is driven"
            time.sleep(0.02)
        yield f"ws://127.0.0.1:{lines[0]}{lines[1]}"
    finally:
        process.terminate()
        process.wait(START_TIMEOUT_S)


@asynccontextmanager
async def connect_browser(address: str) -> AsyncIterator[Browser]:
    """Connect to the browser at an address."""
    async with async_playwright() as playwright:
        yield await playwright.chromium.connect_over_cdp(address)


class BrowserUser:
    """A browser context that records every error of its pages.

    Args:
        context: isolated cookies, storage and workers.
        address: base URL of the server.
        name: prefix of the screenshots.

    Attributes:
        errors: errors of all pages so far.
    """

    def __init__(self, context: BrowserContext, address: str, name: str) -> None:
        self.context = context
        self.address = address
        self.errors: list[str] = []
        self._name = name
        self._pages: list[Page] = []

    async def open_page(self, path: str = "/") -> Page:
        """Open a path in a new tab."""
        page = await self.context.new_page()
        page.set_default_timeout(30_000)
        self._pages.append(page)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(f"page: {error}"))
        await page.add_init_script(RECORD_POLICY_VIOLATIONS)
        await page.goto(self.address + path)
        return page

    async def take_pictures(
        self, page: Page, name: str, sizes: Iterable[tuple[int, int]] = SIZES
    ) -> None:
        """Take a screenshot of a tab at each size, in light and dark; nothing may stick out.

        Args:
            page: the tab, whose size and scheme are restored.
            name: prefix of the files.
            sizes: width and height of each window, in pixels.
        """
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        size = page.viewport_size
        await page.bring_to_front()
        for width, height in sizes:
            await page.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme)
                await page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png")
            assert await find_too_wide(page) == [], (width, height)
        await page.emulate_media(color_scheme="null")
        if size is not None:
            await page.set_viewport_size(size)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(word in message.text for word in NETWORK_ERRORS):
            self.errors.append(f"console: {message.text}")

    async def check_pages(self) -> None:
        """Take a screenshot of each tab, and fail if a page had an error."""
        for number, page in enumerate(self._pages):
            if page.is_closed():
                continue
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            # A tab in the background draws one frame a second, and a picture needs several.
            await page.bring_to_front()
            ending = f"-{number}" if number else ""
            await page.screenshot(path=SCREENSHOTS / f"{self._name}{ending}.png")
            violations = await page.evaluate("window.violations ?? []")
            self.errors.extend(f"policy: {violation}" for violation in violations)
        assert self.errors == []


async def find_too_wide(page: Page) -> list[str]:
    """Return which of the page and its main part scroll sideways.

    The page of a job fills the window, and its main part scrolls.
    """
    scrolling = "(part) => part.scrollWidth > part.clientWidth"
    parts = ("html", "main")
    return [part for part in parts if await page.locator(part).evaluate(scrolling)]


@asynccontextmanager
async def open_browser_user(
    browser: Browser, address: str, name: str, **options: object
) -> AsyncIterator[BrowserUser]:
    """Open a browser context; its pages must have no errors."""
    context = await browser.new_context(
        **{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options}  # type: ignore[arg-type]
    )
    someone = BrowserUser(context, address, name)
    try:
        yield someone
        await someone.check_pages()
    finally:
        await context.close()


def read_axe_source() -> str:
    """Return the script of axe-core from its npm package."""
    folder = Path(os.environ.get("NODE_PATH") or CHECKOUT / "node_modules")
    return (folder / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
