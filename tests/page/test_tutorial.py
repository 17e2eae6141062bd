"""The chapters of the tutorial that take place in a browser."""

import signal

from playwright.async_api import Browser, expect

from tests.support import tutorial
from tests.support.browser import open_browser_user
from tests.support.ports import free_port
from tests.support.processes import run_process
from tests.support.waiting import wait_until


async def test_page_shows_what_the_tutorial_describes(browser: Browser) -> None:
    async with (
        run_process("-m", "marianne_stream", "demo", "--port", 0) as demo,
        open_browser_user(browser, demo.address, "tutorial") as someone,
    ):
        page = await someone.open_page("/")
        await expect(page.locator(".job")).to_have_count(4)
        await page.get_by_role("link", name="cathedral-of-moss", exact=True).click()
        # Each run begins a new log: search once the sheet has written to it.
        await expect(page.locator(".row.line", has_text="sheet 2 ").first).to_be_visible()
        await page.keyboard.press("/")
        await page.keyboard.type("sheet 2")
        await page.keyboard.press("Enter")
        await expect(page.locator(".row.current mark")).to_have_text("sheet 2")
        await page.keyboard.press("n")
        await page.keyboard.press("Escape")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_be_visible()


async def test_snippet_follows_a_job_through_a_restart_of_the_demo(browser: Browser) -> None:
    (snippet,) = tutorial.code_blocks("Follow a job from JavaScript", "js")
    port = free_port()
    demo = ("-m", "marianne_stream", "demo", "--port", port, "--speed")
    lines: list[str] = []
    async with (
        run_process(*demo, 0.5) as first,
        open_browser_user(browser, first.address, "snippet") as someone,
    ):
        page = await someone.open_page("/")
        page.on("console", lambda message: lines.append(message.text))
        console = await page.context.new_cdp_session(page)
        # As the console of the developer tools evaluates its input.
        await console.send("Runtime.evaluate", {"expression": snippet, "replMode": True})
        await wait_until(lambda: any(line.startswith("running: ") for line in lines), timeout_s=30)
        first.send_signal(signal.SIGINT)
        assert await first.wait() == 0
        lines.clear()
        async with run_process(*demo, 5):
            await wait_until(lambda: "finished: completed" in lines, timeout_s=30)
        assert any(line.startswith("running: ") for line in lines)
