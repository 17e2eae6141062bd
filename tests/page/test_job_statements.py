"""Statements about jobs stay true in the page despite the habits of a real conductor."""

import re
import time
from pathlib import Path
from unittest.mock import patch

from playwright.async_api import Browser, expect

from marianne_stream.demo.checkpoint_fields import make_checkpoint
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser, open_browser_user
from tests.support.log_view import append_numbered, log_row
from tests.support.processes import run_server

CRASHED = "Daemon restarted while job was active"

# Records the count and the sheet at work of a row whenever the row changes.
RECORD_ROW = """(row) => {
  window.recorded = [];
  const record = () => {
    const sheet = row.querySelector(".note").textContent.match(/Sheet (\\d+)/);
    const count = row.querySelector(".count").textContent;
    recorded.push([parseInt(count), sheet ? Number(sheet[1]) : null]);
  };
  record();
  new MutationObserver(record).observe(row,
    { attributes: true, characterData: true, childList: true, subtree: true });
}"""


def finish_two_hours_ago(conductor: SimulatedConductor, job_id: str, status: str) -> None:
    """Run a job of two sheets that ended two hours ago with its first sheet completed."""
    with patch("time.time", return_value=time.time() - 7230):
        conductor.launch(job_id, 2)
        conductor.complete_sheet(job_id, 1)
        conductor.finish(job_id, status, event_delay_s=0)


async def restart(conductor: SimulatedConductor, *, crash: bool = False) -> None:
    """Restart a conductor, which then knows only what is in the registry."""
    await conductor.flush()
    await (conductor.kill() if crash else conductor.stop())
    conductor.jobs.clear()
    await conductor.start()


async def test_ended_jobs_keep_end_count_and_reason_across_conductor_restarts(
    browser: Browser, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    finish_two_hours_ago(conductor, "done", "completed")
    # The conductor's stop overwrites the end in the registry.
    await restart(conductor)
    conductor.launch("crashed", 3)
    conductor.complete_sheet("crashed", 1)
    conductor.dispatch("crashed", 2)
    await restart(conductor, crash=True)
    async with (
        run_server(tmp_path) as running,
        open_browser_user(browser, running.address, "conductor_restarts") as someone,
    ):
        page = await someone.open_page()
        done, crashed = (page.locator(".job", has_text=name) for name in ("done", "crashed"))
        await expect(done.locator(".changed")).to_have_text("Ended 2 h ago")
        await expect(done.locator(".count")).to_have_text("1 / 2")
        await expect(crashed.locator(".status-label")).to_have_text("failed")
        await expect(crashed.locator(".count")).to_have_text("1 / 3")
        await expect(crashed.locator(".note")).to_have_text(CRASHED)
        await crashed.locator(".name").click()
        await expect(page.locator(".job-header .status-label")).to_have_text("failed")
        await expect(page.locator(".job-view")).to_contain_text(CRASHED)
        await expect(page.locator(".sheet")).to_have_count(3)
        await expect(page.locator(".sheet[data-tone=running]")).to_have_count(0)


async def test_jobs_of_another_conductor_are_not_shown(
    browser: Browser, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    registry = tmp_path / "other" / "state.db"
    other = SimulatedConductor(tmp_path / "other" / "c.sock", registry=registry, shutdown_grace_s=0)
    await other.start()
    other.launch("theirs", 1)
    await other.stop()
    conductor.launch("ours", 1)
    async with (
        run_server(tmp_path, "--registry-path", registry) as running,
        open_browser_user(browser, running.address, "another_conductor") as someone,
    ):
        page = await someone.open_page()
        await expect(page.locator(".job .name")).to_have_text(["ours"])
        await conductor.kill()
        await expect(page.locator("#connection")).to_contain_text("Not live", timeout=20_000)
        await expect(page.locator(".job .name")).to_have_text(["ours"])
        later = await someone.open_page()
        await expect(later.locator("#connection")).to_contain_text("Not live")
        await expect(later.get_by_text("theirs")).to_have_count(0)


async def test_sheet_count_and_sheet_at_work_never_contradict_each_other(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("steps", 8)
    page = await user.open_page()
    row = page.locator(".job")
    await expect(row.locator(".count")).to_have_text("0 / 8")
    await row.evaluate(RECORD_ROW)
    for number in range(1, 9):
        conductor.dispatch("steps", number)
        await expect(row.locator(".note")).to_contain_text(f"Sheet {number} is at work.")
        conductor.complete_sheet("steps", number)
        if number % 2:
            await expect(row.locator(".count")).to_have_text(f"{number} / 8")
    await expect(row.locator(".count")).to_have_text("8 / 8")
    seen = await page.evaluate("recorded")
    assert {sheet for _, sheet in seen} >= set(range(1, 9))
    assert [pair for pair in seen if pair[1] not in (None, pair[0] + 1)] == []


async def test_process_that_several_jobs_report_begins_no_sheet(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    for job_id in ("moss", "fern"):
        conductor.launch(job_id, 2)
    conductor.dispatch("fern", 1)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".sheet")).to_have_count(2)
    for job_id in ("moss", "fern"):
        conductor.emit(job_id, "observer.process_spawned", {"pid": 77, "name": "bash"})
    conductor.emit("moss", "job.noted", {})
    await expect(page.locator(".event", has_text="job.noted")).to_have_count(1)
    await expect(page.get_by_text("77")).to_have_count(0)
    await expect(page.locator(".sheet[data-tone=running]")).to_have_count(0)
    conductor.dispatch("moss", 2)
    await expect(page.locator(".sheet[data-tone=running]")).to_have_count(1)
    await expect(page.locator(".sheet[aria-label^='Sheet 1,'][data-tone=running]")).to_have_count(0)


async def test_log_of_a_new_run_appears_although_it_was_missing(
    user: BrowserUser, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    for folder in (before, now):
        folder.mkdir()
    append_numbered(now / "marianne.log", 1, 3)
    conductor.launch("again", 1, workspace=str(before))
    conductor.finish("again")
    # The roster reports a running job while the checkpoint is still of the first run.
    job = conductor.submit("again", 1, workspace=str(before))
    conductor.set_status("again", roster="running")
    page = await user.open_page("/jobs/again")
    await expect(page.locator(".row.marker.missing")).to_be_visible()
    job.checkpoint = make_checkpoint("again", sheets=1, now_s=time.time())
    job.checkpoint["worktree_path"] = str(now)
    await expect(log_row(page, 3)).to_be_visible()
    await expect(page.locator(".row.marker.missing")).to_have_count(0)


async def test_duration_goes_on_after_a_resume_wherever_it_is_shown(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    conductor.dispatch("moss", 1)
    list_page = await user.open_page()
    row = list_page.locator(".job")
    await expect(row.locator(".duration .value")).to_have_text(re.compile(r"^([2-9]|\d\d) s$"))
    conductor.fail_sheet("moss", 1)
    conductor.finish("moss", "failed")
    page = await user.open_page("/jobs/moss")
    await expect(row.locator(".changed")).to_have_text(re.compile(r"^Ended ([4-9]|\d\d) s ago$"))
    conductor.resume("moss")
    conductor.dispatch("moss", 1)
    status = page.locator(".job-header .status-label")
    await expect(status).to_have_text("running")
    facts = page.locator(".facts div")
    for one in (page, await user.open_page("/jobs/moss")):
        facts = one.locator(".facts div")
        waited = facts.filter(has_text="Waited").locator("dd")
        await expect(waited).to_have_text(re.compile(r"^([4-9]|\d\d) s$"))
        stopped = await waited.inner_text()
        duration = facts.filter(has_text="Duration").locator("dd")
        await expect(duration).to_have_text(re.compile(r"^([2-9]|\d\d) s$"))
        await expect(duration).not_to_have_text(await duration.inner_text())
        assert await waited.inner_text() == stopped
    # Both tick once a second, each at its own moment.
    both = [
        int((await one.inner_text()).split()[0])
        for one in (duration, row.locator(".duration .value"))
    ]
    assert abs(both[0] - both[1]) <= 1


async def test_paused_job_stands_still(user: BrowserUser, conductor: SimulatedConductor) -> None:
    conductor.launch("moss", 4)
    conductor.dispatch("moss", 1)
    page = await user.open_page("/jobs/moss")
    await expect(page.locator(".now-line")).to_be_visible()
    conductor.complete_sheet("moss", 1)
    conductor.pause("moss")
    await expect(page.locator(".now-line")).to_be_hidden()
    fact = page.locator(".facts div")
    duration = fact.filter(has_text="Duration").locator("dd")
    ran = await duration.inner_text()
    await expect(fact.filter(has_text="Waited").locator("dd")).to_have_text("2 s")
    assert await duration.inner_text() == ran
    # A page that is opened later knows it as well.
    other = await user.open_page("/jobs/moss")
    await expect(other.locator(".facts div", has_text="Waited")).to_be_visible()
    await expect(other.locator(".now-line")).to_be_hidden()
