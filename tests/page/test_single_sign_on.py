"""The page behind a proxy that signs users in: no form, and a way out."""

from pathlib import Path

from playwright.async_api import Browser, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import open_browser_user
from tests.support.sign_on import COOKIE, SignOnService, run_behind_sign_on, run_sign_on_server


async def test_user_of_a_proxy_sees_jobs_without_a_form_and_signs_out_there(
    browser: Browser, tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("nightly-1", 3)
    service = SignOnService()
    async with run_sign_on_server(tmp_path), run_behind_sign_on(tmp_path, service) as behind:
        address = f"https://127.0.0.1:{behind.address.rpartition(':')[2]}"
        async with open_browser_user(
            browser, address, "single-sign-on", ignore_https_errors=True
        ) as user:
            page = await user.open_page("/jobs/nightly-1")
            await expect(page.get_by_role("heading", name="nightly-1")).to_be_visible()
            await expect(page).to_have_url(f"{address}/jobs/nightly-1")
            await expect(page.locator(".connection")).to_have_attribute("data-phase", "live")
            await user.take_pictures(page, "single-sign-on")
            # The session of the proxy is gone: the page leads through the sign-in, and back.
            await user.context.clear_cookies(name=COOKIE)
            await page.goto(f"{address}/")
            await expect(page.get_by_text("nightly-1")).to_be_visible()
            await page.get_by_text("nightly-1").click()
            await expect(page).to_have_url(f"{address}/jobs/nightly-1")
            assert service.sign_ins == 2
            await page.get_by_role("link", name="Sign out").click()
            await expect(page.get_by_text("Sign in with the provider")).to_be_visible()
            assert await user.context.cookies() == []
