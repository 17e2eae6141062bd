"""Times in the page: by the server's clock, in one time zone, and only while known."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser, open_browser_user
from tests.support.processes import ManagedProcess, run_server
from tests.support.viewers import wait_for_source

UNKNOWN = "\N{EN DASH}"
JUST_NOW = re.compile(r"^(now|\d+ s ago)$")


@pytest.fixture
async def in_india(
    browser: Browser, server: ManagedProcess, request: pytest.FixtureRequest
) -> AsyncIterator[BrowserUser]:
    """Browser context in a time zone five and a half hours ahead of UTC."""
    zone = {"timezone_id": "Asia/Kolkata"}
    async with open_browser_user(browser, server.address, request.node.name, **zone) as someone:
        yield someone


@pytest.mark.parametrize("hours", [-1, 1])
async def test_wrong_browser_clock_changes_no_duration(
    user: BrowserUser, conductor: SimulatedConductor, hours: int
) -> None:
    conductor.launch("done", 1)
    conductor.finish("done")
    conductor.launch("busy", 2)
    # A page's clock can be set, a worker's cannot: the page opens the streams itself.
    await user.context.add_init_script("delete window.SharedWorker")
    await user.context.clock.install(time=datetime.now(UTC) + timedelta(hours=hours))
    page = await user.open_page()
    busy = page.locator(".job", has_text="busy")
    await expect(busy.locator(".duration .value")).to_contain_text(" s")
    await expect(busy.locator(".duration .value")).not_to_contain_text(" h ")
    ended = page.locator(".job", has_text="done").locator(".changed")
    await expect(ended).to_contain_text("Ended")
    await expect(ended).not_to_contain_text(" h ")
    await page.goto(f"{user.address}/jobs/busy")
    duration = page.locator(".facts div", has_text="Duration").locator("dd")
    await expect(duration).to_contain_text(" s")
    await expect(duration).not_to_contain_text(" h ")


async def test_times_and_animations_stop_while_the_conductor_is_away(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("busy", 2)
    conductor.dispatch("busy", 1)
    await user.context.add_init_script("delete window.SharedWorker")
    await user.context.clock.install()
    page = await user.open_page("/jobs/busy")
    mark = page.locator("#connection")
    await expect(mark).to_have_text("Live from the conductor")
    await conductor.stop()
    await expect(mark).to_contain_text("Not live since", timeout=20_000)
    duration = page.locator(".facts div", has_text="Duration").locator("dd")
    # The last tick may have been before durations stopped.
    await user.context.clock.run_for(1_500)
    before = await duration.inner_text()
    await user.context.clock.run_for(5_000)
    assert await duration.inner_text() == before
    icon = page.locator(".sheet[data-tone=running] .icon")
    assert await icon.evaluate("(icon) => getComputedStyle(icon).animationName") == "none"
    sentence = await mark.inner_text()
    await page.set_viewport_size({"width": 390, "height": 844})
    await expect(mark).to_have_text(sentence)
    visible = "(text) => text.getBoundingClientRect().right <= document.body.clientWidth"
    assert await mark.locator(".sentence").evaluate(visible)


async def test_page_opened_without_a_conductor_shows_no_durations(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("busy", 2)
    await conductor.stop()
    # A page that is opened before the server knows would be live for a moment.
    await wait_for_source(f"{user.address}/api/roster/stream", live=False)
    page = await user.open_page()
    await expect(page.locator(".job .status-label")).to_have_text("running")
    await expect(page.locator("#connection")).to_have_text(
        "Not live: last state that the conductor saved"
    )
    await expect(page.locator(".job .duration .value")).to_have_text(UNKNOWN)
    await expect(page.locator(".job .changed .value")).to_have_text(UNKNOWN)


async def test_page_opened_without_any_backend_shows_the_reasons(
    browser: Browser, tmp_path: Path
) -> None:
    async with (
        run_server(tmp_path) as running,
        open_browser_user(browser, running.address, "nothing_to_read") as someone,
    ):
        page = await someone.open_page()
        await expect(page.locator(".empty")).to_contain_text("Neither the conductor nor another")
        await expect(page.locator("#connection")).to_contain_text("Not live")
        job = await someone.open_page("/jobs/busy")
        notice = job.locator(".notice:visible")
        await expect(notice).to_contain_text("Neither the conductor nor another")
        conductor = SimulatedConductor(
            tmp_path / "c.sock", registry=tmp_path / "state.db", shutdown_grace_s=0
        )
        await conductor.start()
        try:
            conductor.launch("busy", 2)
            await expect(page.locator(".job .name")).to_have_text("busy", timeout=60_000)
            await expect(job.locator(".sheet")).to_have_count(2, timeout=60_000)
            await expect(notice).to_have_count(0)
        finally:
            await conductor.kill()


async def test_time_zone_switch_changes_all_times_and_is_kept(
    in_india: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    log_path.write_text(
        "2026-11-23T20:00:00Z [info] with a zone\n"
        "2026-11-23T21:00:00+01:00 [info] with another\n"
        "2026-11-23T20:00:00 [info] without\n"
        "no time at all\n"
        '{"event":"as JSON","timestamp":"2026-11-24T20:00:00.25+00:00"}\n'
    )
    page = await in_india.open_page("/jobs/lantern")
    conductor.emit("lantern", "job.noted", {})
    times = page.locator(".row.line time")
    local = ["01:30:00", "01:30:00", "20:00:00", "", "01:30:00.250"]
    await expect(times).to_have_text(local)
    await expect(times.nth(2)).to_have_attribute(
        "title", "23 Nov 2026, 20:00:00, as written in the line (no time zone)"
    )
    await expect(page.locator(".row .day")).to_have_text(
        ["24 Nov 2026", "23 Nov 2026", "25 Nov 2026"]
    )
    started = page.locator(".facts div", has_text="Started").locator("dd")
    noted = page.locator(".event", has_text="job.noted").locator("time")
    before = [await started.inner_text(), await noted.inner_text()]
    switch = page.get_by_role("button", name="Local time")
    await expect(switch).to_have_attribute("title", "Times are in GMT+5:30. Switch to UTC (z)")
    await page.keyboard.press("z")
    await expect(times).to_have_text(["20:00:00", "20:00:00", "20:00:00", "", "20:00:00.250"])
    await expect(page.locator(".row .day")).to_have_text(["23 Nov 2026", "24 Nov 2026"])
    after = [await started.inner_text(), await noted.inner_text()]
    assert all(one != other for one, other in zip(before, after, strict=True))
    await page.reload()
    await expect(page.get_by_role("button", name="UTC")).to_be_visible()
    await expect(times.first).to_have_text("20:00:00")


async def test_line_without_a_time_shows_its_reception_time(
    user: BrowserUser, log_path: Path
) -> None:
    log_path.write_text("first\n")
    page = await user.open_page("/jobs/lantern")
    await expect(page.locator(".row.line")).to_have_count(1)
    with log_path.open("a") as file:
        file.write("second\n")
    # The first page comes before the stream; this line comes by the stream.
    await expect(page.locator(".row.line")).to_have_count(2)
    with log_path.open("a") as file:
        file.write("no time\n2026-11-23T20:00:00Z with a time\n")
    read = page.locator(".row.line", has_text="no time").locator("time")
    await expect(read).to_have_attribute("data-kind", "received")
    await expect(read).to_contain_text("↓")
    own = page.locator(".row.line", has_text="with a time").locator("time")
    await expect(own).to_have_attribute("data-kind", "logged")


async def test_changed_is_empty_before_the_first_observed_change(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("busy", 4)
    conductor.launch("quiet", 4)
    page = await user.open_page()
    changed = page.locator(".job", has_text="busy").locator(".changed .value")
    await expect(page.locator(".job .duration .value").first).to_contain_text(" s")
    conductor.complete_sheet("busy", 1)
    await expect(changed).to_have_text(JUST_NOW)
    # A job's first details are not a change of it, nor is a change of another job.
    quiet = page.locator(".job", has_text="quiet").locator(".changed .value")
    await expect(quiet).to_have_text(UNKNOWN)
    await page.locator(".job .name", has_text="busy").click()
    fact = page.locator(".facts div", has_text="Changed").locator("dd")
    await expect(fact).to_have_text(JUST_NOW)
    conductor.finish("busy")
    ended = page.locator(".facts div", has_text="Ended").locator("dd")
    await expect(ended).to_have_text(JUST_NOW)
