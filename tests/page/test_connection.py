"""Connections of the page: restarts, sleep, shared streams, and sign-in."""

import asyncio
import re
import signal
from pathlib import Path

from playwright.async_api import Browser, Page, Route, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser, open_browser_user
from tests.support.faulty_proxy import run_faulty_proxy
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess, run_process, run_server
from tests.support.viewers import wait_for_combined_streams, wait_for_source

LOST = re.compile(r"^Not live since \d\d:\d\d: last state that the conductor saved$")


async def numbers(page: Page) -> list[int]:
    """Return the numbers of the drawn lines."""
    return [int(text) for text in await page.locator(".row.line .number").all_inner_texts()]


def append(log: Path, first: int, last: int) -> None:
    with log.open("a") as file:
        file.writelines(f"line {number}\n" for number in range(first, last + 1))


async def wait_for_events(address: str) -> None:
    """Wait until the server receives the conductor's events."""
    await wait_for_source(f"{address}/api/events/stream", live=True)


async def test_connection_status_follows_a_conductor_restart(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 4)
    page = await user.open_page("/jobs/a")
    mark = page.locator("#connection")
    await expect(mark).to_contain_text("from the conductor")
    await expect(page.locator(".sheet")).to_have_count(4)
    await conductor.stop()
    await expect(mark).to_have_text(LOST, timeout=15_000)
    await expect(mark).to_have_attribute("data-phase", "stale")
    icon = page.locator("link[rel=icon]")
    await expect(icon).to_have_attribute("href", re.compile(r"/icons/offline\.svg$"))
    await conductor.start()
    await expect(mark).to_contain_text("Live from the conductor", timeout=20_000)
    conductor.complete_sheet("a", 1)
    await expect(page.locator(".job-header .count")).to_have_text("1 / 4")


async def test_reconnect_after_server_restart_repeats_no_line(
    browser: Browser, conductor: SimulatedConductor, log_path: Path, tmp_path: Path
) -> None:
    port = free_port()
    append(log_path, 1, 20)
    options = ("--port", port, "--drain-timeout-s", 0)
    async with open_browser_user(browser, f"http://127.0.0.1:{port}", "server_restart") as someone:
        async with run_server(tmp_path, *options) as running:
            page = await someone.open_page("/jobs/lantern")
            await expect(page.locator(".row.line")).to_have_count(20)
            await expect(page.locator("#connection")).to_contain_text("Live")
            running.send_signal(signal.SIGTERM)
            await running.wait()
        await expect(page.locator("#connection")).to_contain_text("reconnecting")
        icon = page.locator("link[rel=icon]")
        await expect(icon).to_have_attribute("href", re.compile(r"/icons/offline\.svg$"))
        append(log_path, 21, 40)
        conductor.complete_sheet("lantern", 1)
        async with run_server(tmp_path, *options):
            await expect(page.locator("#connection")).to_contain_text("Live", timeout=20_000)
            await expect(page.locator(".row.line")).to_have_count(40)
            assert await numbers(page) == list(range(1, 41))
            await expect(page.locator(".job-header .count")).to_have_text("1 / 4")


async def test_streams_reconnect_after_the_machine_slept(
    browser: Browser, server: ManagedProcess, conductor: SimulatedConductor, log_path: Path
) -> None:
    append(log_path, 1, 10)
    async with (
        run_faulty_proxy(server.address) as wire,
        open_browser_user(browser, wire.url, "machine_that_slept") as someone,
    ):
        # A page's clock can be set, a worker's cannot: the page opens the streams itself.
        await someone.context.add_init_script("delete window.SharedWorker")
        await someone.context.clock.install()
        page = await someone.open_page("/jobs/lantern")
        await expect(page.locator(".row.line")).to_have_count(10)
        wire.blackhole()
        append(log_path, 11, 12)
        conductor.complete_sheet("lantern", 1)
        # During sleep, no data arrives and no timer fires; then an hour is over at once.
        await someone.context.clock.fast_forward(3_600_000)
        count, connection = page.locator(".job-header .count"), page.locator("#connection")
        # Requests may use dead connections as well, time out, and be repeated after a while.
        async with asyncio.timeout(60):
            while (
                await count.inner_text() != "1 / 4" or "Live" not in await connection.inner_text()
            ):
                await page.wait_for_timeout(200)
                await someone.context.clock.fast_forward(5_000)
        await expect(page.locator(".row.line")).to_have_count(12)
        assert await numbers(page) == list(range(1, 13))


async def test_ten_windows_are_live_in_one_stream(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    append(log_path, 1, 5)
    jobs = [f"job-{number}" for number in range(6)]
    for job_id in jobs:
        conductor.launch(job_id, 2)
    # More windows than a browser opens connections to a server over HTTP/1.1.
    watching = [await user.open_page(f"/jobs/{job_id}") for job_id in jobs]
    reading = [await user.open_page("/jobs/lantern") for _ in range(2)]
    lists = [await user.open_page() for _ in range(2)]
    for page in (*watching, *reading, *lists):
        await expect(page.locator("#connection")).to_contain_text("Live")
    await wait_for_combined_streams(user.address)
    append(log_path, 6, 7)
    await wait_for_events(user.address)
    for job_id in jobs:
        conductor.complete_sheet(job_id, 1)
        conductor.emit(job_id, "job.noted", {"by": job_id})
    for page, job_id in zip(watching, jobs, strict=True):
        await expect(page.locator(".job-header .count")).to_have_text("1 / 2")
        await expect(page.locator(".event[data-event='job.noted']")).to_have_count(1)
        await expect(page.locator(".event[data-event='job.noted']")).to_contain_text(job_id)
    for page in reading:
        await expect(page.locator(".row.line")).to_have_count(7)
        assert await numbers(page) == list(range(1, 8))
    for page in lists:
        await expect(page.locator(".job .count").filter(has_text="1 / 2")).to_have_count(6)
    for page in (*watching[1:], *lists):
        await page.close()
    conductor.complete_sheet(jobs[0], 2)
    await expect(watching[0].locator(".job-header .count")).to_have_text("2 / 2")
    await wait_for_combined_streams(user.address)


async def test_invalid_filter_of_one_window_ends_no_other_stream(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    append(log_path, 1, 5)
    conductor.launch("a", 2)
    other = await user.open_page("/jobs/a")
    await expect(other.locator("#connection")).to_contain_text("Live")
    page = await user.open_page("/jobs/lantern")
    await expect(page.locator(".row.line")).to_have_count(5)
    await page.get_by_label("Regular expression").click()
    await page.get_by_label("Search the whole log").fill("(")
    await page.get_by_role("button", name="Only matches").click()
    await page.get_by_label("Search the whole log").press("Enter")
    await expect(page.locator(".log")).to_contain_text("regex is invalid")
    conductor.complete_sheet("a", 1)
    await expect(other.locator(".job-header .count")).to_have_text("1 / 2")
    await expect(other.locator("#connection")).to_contain_text("Live")
    conductor.complete_sheet("lantern", 1)
    await expect(page.locator(".job-header .count")).to_have_text("1 / 4")


async def test_page_connects_without_shared_workers(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 2)
    await user.context.add_init_script("delete window.SharedWorker")
    page = await user.open_page("/jobs/a")
    await expect(page.locator(".sheet")).to_have_count(2)
    conductor.complete_sheet("a", 1)
    await expect(page.locator(".job-header .count")).to_have_text("1 / 2")
    await wait_for_combined_streams(user.address)


async def test_log_is_shown_before_the_stream_opens(user: BrowserUser, log_path: Path) -> None:
    append(log_path, 1, 5)
    await user.context.add_init_script("delete window.SharedWorker")

    async def refuse(route: Route) -> None:
        await route.abort()

    await user.context.route("**/api/stream?*", refuse)
    page = await user.open_page("/jobs/lantern")
    await expect(page.locator(".row.line")).to_have_count(5)
    await expect(page.locator("#connection")).to_contain_text("Not live")
    await user.context.unroute("**/api/stream?*", refuse)
    append(log_path, 6, 7)
    await expect(page.locator(".row.line")).to_have_count(7)
    assert await numbers(page) == list(range(1, 8))


async def test_window_without_shared_worker_takes_over_a_connection(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 2)
    await user.context.add_init_script("delete window.SharedWorker")
    pages = [await user.open_page() for _ in range(4)]
    for page in pages:
        await expect(page.locator("#connection")).to_contain_text("Live")
    fifth = await user.open_page()
    blocked = "Not live: other windows use all connections of this browser."
    await expect(fifth.locator("#connection .sentence")).to_have_text(blocked)
    advice = "Choose Go live here, or close one of them."
    await expect(fifth.get_by_text(advice)).to_be_visible()
    await expect(fifth.locator(".empty")).not_to_contain_text("by itself")
    await wait_for_combined_streams(user.address, 4)
    await fifth.get_by_role("button", name="Go live here").click()
    await expect(fifth.locator("#connection")).to_contain_text("Live from")
    await expect(fifth.get_by_role("button", name="Go live here")).to_have_count(0)
    conductor.complete_sheet("a", 1)
    await expect(fifth.locator(".job .count")).to_have_text("1 / 2")
    waiting = [p for p in pages if blocked in await p.locator("#connection").inner_text()]
    assert len(waiting) == 1
    notice = waiting[0].locator(".list-notices .notice")
    await expect(notice).to_contain_text(f"{advice} The list is as of")
    await expect(notice).not_to_contain_text("by itself")
    # A window that is closed makes room.
    await fifth.close()
    await expect(waiting[0].locator("#connection")).to_contain_text("Live from")
    await expect(waiting[0].locator(".job .count")).to_have_text("1 / 2")


async def test_unauthenticated_page_redirects_to_sign_in_and_back(
    browser: Browser, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 2)
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-the-team\n")
    tokens.chmod(0o600)
    places = ("--conductor-socket", tmp_path / "c.sock", "--registry-path", tmp_path / "state.db")
    private = ("--data-dir", tmp_path / "private", "--token-file", tokens)
    command = ("-m", "marianne_stream", "--port", 0, *places, *private)
    async with (
        run_process(*command) as running,
        open_browser_user(browser, running.address, "sign_in") as someone,
    ):
        page = await someone.open_page("/jobs/a")
        await page.get_by_label("Token").fill("wrong-wrong-wrong-wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("not known")
        await page.get_by_label("Token").fill("a-token-of-the-team")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator(".sheet")).to_have_count(2)
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Token")).to_be_visible()


DASHBOARD = """<!doctype html><meta charset="utf-8"><title>d</title><ul></ul>
<script>
const add = (text) => { const li = document.createElement("li"); li.textContent = text;
  document.querySelector("ul").append(li); };
const status = new EventSource("/api/jobs/lantern/stream");
status.addEventListener("job_status", (e) => add("status " + JSON.parse(e.data).status));
status.addEventListener("job_finished", (e) => { add("finished"); });
const logs = new EventSource("/api/jobs/lantern/logs");
logs.addEventListener("log", (e) => add(JSON.parse(e.data).line));
logs.addEventListener("log_complete", () => { add("complete"); });
window.sources = [status, logs];
</script>"""


async def test_dashboard_page_works_unchanged(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    append(log_path, 1, 2)
    page = await user.context.new_page()

    async def answer(route: Route) -> None:
        await route.fulfill(body=DASHBOARD, content_type="text/html")

    await page.route("**/dashboard", answer)
    await page.goto(f"{user.address}/dashboard")
    items = page.locator("li")
    await expect(items.filter(has_text="line 2")).to_have_count(1)
    append(log_path, 3, 3)
    await expect(items.filter(has_text="line 3")).to_have_count(1)
    conductor.finish("lantern")
    await expect(items.filter(has_text="finished")).to_have_count(1, timeout=15_000)
    await expect(items.filter(has_text="complete")).to_have_count(2, timeout=20_000)
    # The streams stop for good: the last response is 204.
    await page.wait_for_function("window.sources.every((source) => source.readyState === 2)")
    assert [await items.filter(has_text=f"line {n}").count() for n in (1, 2, 3)] == [1, 1, 1]
