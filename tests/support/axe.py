"""Accessibility checks of a page with axe-core, in all sizes and schemes."""

from typing import Any

from playwright.async_api import Page

from tests.support.browser import read_axe_source

SCHEMES = ("light", "dark")

# A desk, a laptop, a tablet, a phone, and a phone on its side.
SIZES = ((1440, 900), (1280, 800), (820, 1180), (390, 844), (844, 390))

RUN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
  ({ id, nodes }) => ({ id, nodes: nodes.map((node) => node.html + " " + node.failureSummary) }))"""

# Media queries tell of a new size before the next frame: the page shows or hides its tabs.
NEXT_FRAME = "() => new Promise(requestAnimationFrame)"


async def load_axe(page: Page) -> None:
    """Load axe-core into a page: the policy of the page forbids scripts of others otherwise."""
    await page.evaluate(read_axe_source())


async def find_violations(page: Page) -> list[dict[str, Any]]:
    """Return the violations that axe-core finds in what the page shows now."""
    found: list[dict[str, Any]] = await page.evaluate(RUN)
    return found


async def find_all_violations(page: Page) -> list[tuple[object, ...]]:
    """Return the violations in each size and scheme, and in each of its tabs; end with the log."""
    found: list[tuple[object, ...]] = []
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for width, height in SIZES:
            await page.set_viewport_size({"width": width, "height": height})
            await page.evaluate(NEXT_FRAME)
            tabs = page.locator("[role=tab]:visible")
            if await page.locator("dialog[open]").count() or not await tabs.count():
                found += [(scheme, width, each) for each in await find_violations(page)]
                continue
            chosen = await page.locator("[role=tab][aria-selected=true]:visible").text_content()
            for tab in await tabs.all():
                await tab.click()
                found += [(scheme, width, each) for each in await find_violations(page)]
            for name in ("Log", str(chosen)):
                await page.get_by_role("tab", name=name, exact=True).click()
    return found
