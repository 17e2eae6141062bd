"""View of several jobs' logs in a browser."""

from pathlib import Path

import pytest
from playwright.async_api import Route, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser
from tests.support.viewers import fetch_open_streams


@pytest.fixture
async def other_log_path(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """Path of the log of the running job `tide`; the file does not exist yet."""
    workspace = tmp_path / "other"
    workspace.mkdir()
    conductor.launch("tide", 2, workspace=str(workspace))
    return workspace / "marianne.log"


def append_at(log: Path, *seconds: int) -> None:
    """Append a line for each of some seconds."""
    with log.open("a", encoding="utf-8") as file:
        file.writelines(f"2026-11-24T03:00:{second:02}Z [info] at {second}\n" for second in seconds)


async def test_lines_of_several_jobs_are_prefixed_and_ordered_by_their_times(
    other_log_path: Path, log_path: Path, user: BrowserUser
) -> None:
    append_at(log_path, 1, 3, 5)
    append_at(other_log_path, 2, 4)
    page = await user.open_page("/jobs/lantern")
    await page.get_by_role("link", name="Add a job").click()
    await expect(page.locator(".row.line .text")).to_have_text(["at 1", "at 3", "at 5"])
    await page.get_by_label("Add the log of a job").select_option("tide")
    texts, names = page.locator(".row.line .text"), page.locator(".row.line .job-name")
    await expect(texts).to_have_text([f"at {second}" for second in range(1, 6)])
    await expect(names).to_have_text(["lantern", "tide", "lantern", "tide", "lantern"])
    assert page.url.endswith("/logs?job=lantern&job=tide")
    colours = [
        await names.nth(at).evaluate("(name) => getComputedStyle(name).color") for at in (0, 1)
    ]
    assert colours[0] != colours[1]
    append_at(other_log_path, 7)
    await expect(texts).to_have_text([f"at {second}" for second in (1, 2, 3, 4, 5, 7)])
    append_at(log_path, 6)
    await expect(texts).to_have_text([f"at {second}" for second in range(1, 8)])
    open_streams = await fetch_open_streams(user.address)
    assert open_streams["combined"] == sum(open_streams.values()) == 1
    await page.get_by_label("Only lines with this text").fill("at 6")
    await page.keyboard.press("Enter")
    await expect(texts).to_have_text(["at 6"])
    await page.keyboard.press("Escape")
    await expect(texts).to_have_count(7)
    await page.get_by_role("button", name="Remove lantern").click()
    await expect(names).to_have_text(["tide"] * 3)


async def test_log_of_a_job_that_runs_again_is_followed(
    other_log_path: Path, log_path: Path, conductor: SimulatedConductor, user: BrowserUser
) -> None:
    append_at(log_path, 1)
    append_at(other_log_path, 2)
    page = await user.open_page("/logs?job=lantern&job=tide")
    texts = page.locator(".row.line .text")
    await expect(texts).to_have_text(["at 1", "at 2"])
    conductor.finish("tide")
    await expect(page.locator(".row.marker")).to_contain_text("End of log")
    conductor.launch("tide", 2, workspace=str(other_log_path.parent))
    append_at(other_log_path, 3)
    await expect(texts).to_have_text(["at 1", "at 2", "at 3"])


async def test_view_of_logs_says_what_is_missing(log_path: Path, user: BrowserUser) -> None:
    append_at(log_path, 1)
    page = await user.open_page("/logs")
    await expect(page.locator(".log-message")).to_have_text("Add a job to see its log here.")
    await page.goto(f"{user.address}/logs?job=lantern&job=nobody")
    await expect(page.locator(".log-note")).to_contain_text("nobody: ")
    await expect(page.locator(".row.line .text")).to_have_text("at 1")


async def test_logs_of_several_jobs_are_shown_before_the_stream_opens(
    other_log_path: Path, log_path: Path, user: BrowserUser
) -> None:
    append_at(log_path, 1, 3)
    append_at(other_log_path, 2, 4)
    await user.context.add_init_script("delete window.SharedWorker")

    async def refuse(route: Route) -> None:
        await route.abort()

    await user.context.route("**/api/stream?*", refuse)
    page = await user.open_page("/logs?job=lantern&job=tide")
    texts = page.locator(".row.line .text")
    await expect(texts).to_have_text([f"at {second}" for second in range(1, 5)])
    await expect(page.locator("#connection")).to_contain_text("Not live")
    await user.context.unroute("**/api/stream?*", refuse)
    append_at(other_log_path, 5)
    append_at(log_path, 6)
    await expect(texts).to_have_text([f"at {second}" for second in range(1, 7)])
