"""Page below a path of a real nginx, as docs/how-to/run-it-as-a-service.md describes."""

import re
from pathlib import Path

from playwright.async_api import Browser, Request, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import open_browser_user
from tests.support.log_files import append_lines
from tests.support.nginx_server import SITE_NAME, run_below_path

TOKEN = "whole-token-0123456789"


async def test_page_works_below_a_path_from_sign_in_to_sign_out(
    browser: Browser, conductor: SimulatedConductor, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, "line 1")
    report = log_path.with_name("report.txt")
    report.write_text("first\n")
    requested: set[str] = set()

    def note(request: Request) -> None:
        requested.add(request.url.removeprefix(origin).partition("?")[0])

    async with run_below_path(tmp_path, TOKEN) as behind:
        address = behind.address.replace(SITE_NAME, "127.0.0.1")
        origin = address.removesuffix("/marianne")
        async with open_browser_user(
            browser, address, "below_a_path", ignore_https_errors=True
        ) as someone:
            someone.context.on("request", note)
            page = await someone.open_page("/jobs/lantern#L1")
            await expect(page).to_have_url(re.compile("/marianne/login"))
            await page.get_by_label("Token").fill(TOKEN)
            await page.get_by_role("button", name="Sign in").click()
            await expect(page).to_have_url(f"{address}/jobs/lantern")
            await expect(page.locator("#connection")).to_contain_text("Live")
            # Another view, and back to the job.
            await page.get_by_role("link", name="Marianne").click()
            await expect(page).to_have_url(f"{address}/")
            await page.get_by_label("Filter jobs by name").fill("lan")
            await expect(page).to_have_url(f"{address}/?name=lan")
            await page.locator("main").get_by_role("link", name="lantern").first.click()
            await expect(page).to_have_url(f"{address}/jobs/lantern")
            append_lines(log_path, "line 2")
            lines = page.locator(".row.line .text")
            await expect(lines).to_have_text(["line 1", "line 2"])
            conductor.complete_sheet("lantern", 1)
            await expect(page.locator(".job-header .count")).to_have_text("1 / 4")
            await page.get_by_role("tab", name="Files").click()
            await page.get_by_role("link", name="report.txt", exact=True).click()
            append_lines(report, "second")
            followed = page.locator(".file-log .row.line .text")
            await expect(followed).to_have_text(["first", "second"])
            await page.reload()
            await expect(followed).to_have_text(["first", "second"])
            await page.goto(f"{address}/jobs/lantern")
            await page.get_by_role("link", name="Add a job").click()
            await expect(page).to_have_url(f"{address}/logs?job=lantern")
            await expect(lines).to_have_text(["line 1", "line 2"])
            await page.get_by_role("button", name="Sign out").click()
            await expect(page).to_have_url(f"{address}/login")
            assert await someone.context.cookies() == []
    assert [path for path in requested if not path.startswith("/marianne/")] == []
    assert any(path.endswith("/js/wire/worker.js") for path in requested)
