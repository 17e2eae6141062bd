"""Roster with details: running jobs are watched once for all clients."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp

from marianne_stream.app import shutdown
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.jobs.hub import JobHub
from marianne_stream.web.app_keys import JOB_HUB
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_until
from tests.web.conftest import NARROWED, Client, OpenStream, Start

ROSTER = "/api/roster/stream"
WANTED = {"poll_interval": "0.1", "details": "true"}


def job_hub_in(client: Client) -> JobHub:
    watches: JobHub = client.app[JOB_HUB]
    return watches


def roster_jobs(viewer: Viewer) -> dict[str, dict[str, Any]]:
    """Return the newest entry of each job that a viewer has got."""
    jobs: dict[str, dict[str, Any]] = {}
    for event in viewer.event_data("roster"):
        jobs = {} if event["complete"] else jobs
        jobs.update({job["job_id"]: job for job in event["jobs"]})
        for job_id in event["removed"]:
            del jobs[job_id]
    return jobs


def shows(viewer: Viewer, job_id: str, **fields: object) -> Callable[[], bool]:
    """Return a condition: the viewer's newest entry of a job has these values."""
    return lambda: fields.items() <= roster_jobs(viewer).get(job_id, {}).items()


async def test_roster_details_follow_job_to_its_end(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with open_stream(ROSTER, **WANTED) as viewer:
        for number in (1, 2):
            conductor.dispatch("a", number)
            await wait_until(shows(viewer, "a", current_sheet=number))
            conductor.complete_sheet("a", number)
            await wait_until(shows(viewer, "a", current_sheet=None, completed_sheets=number))
        conductor.finish("a")
        await wait_until(shows(viewer, "a", status="completed"))
        told = [
            job["last_progress_at"] for data in viewer.event_data("roster") for job in data["jobs"]
        ]
        # What was there when the viewer came is no progress.
        assert told[0] is None
        seen = [moment for moment in told if moment is not None]
        assert len(set(seen)) >= 4
        assert seen == sorted(seen)
        await wait_until(lambda: not job_hub_in(client).watched_job_count)
        conductor.resume("a")
        conductor.dispatch("a", 1)
        await wait_until(shows(viewer, "a", status="running", current_sheet=1))


async def test_roster_without_details_shows_known_details(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    conductor.dispatch("a", 1)
    async with open_stream(ROSTER, poll_interval="0.1") as plain:
        await wait_until(shows(plain, "a", current_sheet=None, updated_at=None))
        async with open_stream(ROSTER, **WANTED):
            await wait_until(shows(plain, "a", current_sheet=1))
            async with client.get("/api/jobs") as answer:
                (job,) = (await answer.json())["jobs"]
            assert job == roster_jobs(plain)["a"]
        await wait_until(shows(plain, "a", current_sheet=None, updated_at=None))
        assert job_hub_in(client).watched_job_count == 0


async def test_job_stream_updates_roster_details(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    conductor.dispatch("a", 1)
    async with open_stream(ROSTER, poll_interval="0.1") as plain:
        await plain.wait_for("roster")
        async with open_stream("/api/jobs/a/stream"):
            await wait_until(shows(plain, "a", current_sheet=1))


async def test_job_request_sends_no_roster_event(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    conductor.dispatch("a", 1)
    async with open_stream(ROSTER, poll_interval="0.1") as plain:
        await plain.wait_for("roster")
        async with client.get("/api/jobs/a") as answer:
            assert (await answer.json())["current_sheet"] == 1
        conductor.pause("a")
        await wait_until(shows(plain, "a", status="paused"))
    assert plain.event_counts["roster"] == 2
    assert roster_jobs(plain)["a"]["current_sheet"] is None


async def test_roster_details_read_each_change_once_for_all_clients(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    job_ids = [f"job-{number}" for number in range(4)]
    for job_id in job_ids:
        conductor.launch(job_id, 3)
    # Each change is announced, and the interval is long: nothing else is a reason to ask.
    wanted = {"poll_interval": "30", "details": "1"}
    changes = 0
    async with (
        open_stream(ROSTER, **wanted) as one,
        open_stream(ROSTER, **wanted) as two,
        open_stream(ROSTER, **wanted) as three,
    ):
        viewers = (one, two, three)
        await one.wait_for("roster")
        await wait_until(lambda: conductor.statistics.requests["job.status"] == len(job_ids))
        for number in (1, 2):
            for job_id in job_ids:
                conductor.dispatch(job_id, number)
                conductor.emit(job_id, "sheet.started", {}, number)
                changes += 1
            for job_id in job_ids:
                for viewer in viewers:
                    await wait_until(shows(viewer, job_id, current_sheet=number))
            for job_id in job_ids:
                conductor.complete_sheet(job_id, number)
                conductor.emit(job_id, "sheet.completed", {}, number)
                changes += 1
            for job_id in job_ids:
                for viewer in viewers:
                    await wait_until(shows(viewer, job_id, current_sheet=None))
        # And each once more soon after a change.
        assert conductor.statistics.requests["job.status"] <= len(job_ids) + 2 * changes


async def test_roster_details_skip_ended_and_deleted_jobs(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    for job_id in ("over", "goes", "stays"):
        conductor.launch(job_id, 1)
    conductor.finish("over")
    async with open_stream(ROSTER, **WANTED) as viewer:
        await wait_until(lambda: job_hub_in(client).watched_job_count == 2)
        conductor.remove("goes")
        await wait_until(lambda: "goes" not in roster_jobs(viewer))
        await wait_until(lambda: job_hub_in(client).watched_job_count == 1)
    assert "over" not in {job_id for _, _, job_id in conductor.statistics.request_log}
    await wait_until(lambda: not job_hub_in(client).watched_job_count)


async def test_roster_details_are_kept_without_conductor(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    conductor.dispatch("a", 1)
    await conductor.flush()
    async with open_stream(ROSTER, **WANTED) as viewer:
        await wait_until(shows(viewer, "a", current_sheet=1))
        await conductor.kill()
        await wait_until(lambda: viewer.event_data("source")[-1]["source"] == "registry")
        await conductor.start()
        await wait_until(lambda: viewer.event_data("source")[-1]["source"] == "conductor")
        assert shows(viewer, "a", current_sheet=1)()
        conductor.complete_sheet("a", 1)
        conductor.dispatch("a", 2)
        await wait_until(shows(viewer, "a", current_sheet=2))


async def test_roster_details_of_restricted_token_have_its_jobs_only(
    start: Start, conductor: SimulatedConductor
) -> None:
    for name in ("nightly-1", "secret"):
        conductor.launch(name, 3)
        conductor.dispatch(name, 1)
    client = await start()
    session = aiohttp.ClientSession(headers=NARROWED)
    url = str(client.make_url(ROSTER))
    async with session, open_viewer(session, url, **WANTED) as viewer:
        await wait_until(shows(viewer, "nightly-1", current_sheet=1))
        await wait_until(lambda: job_hub_in(client).watched_job_count == 2)
        conductor.complete_sheet("secret", 1)
        conductor.dispatch("secret", 2)
        conductor.complete_sheet("nightly-1", 1)
        conductor.dispatch("nightly-1", 2)
        await wait_until(shows(viewer, "nightly-1", current_sheet=2))
        assert b"secret" not in viewer.raw


async def test_shutdown_stops_roster_watchers(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    conductor.dispatch("a", 1)
    async with open_stream(ROSTER, **WANTED) as viewer:
        await wait_until(shows(viewer, "a", current_sheet=1))
        await shutdown(client.app, drain_timeout_s=0.0, force=asyncio.Event())
        assert job_hub_in(client).watched_job_count == 0
        await viewer.wait_ended()
    assert shows(viewer, "a", current_sheet=1)()


async def test_wait_has_its_beginning_in_status_and_roster_until_it_is_counted(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with (
        open_stream("/api/jobs/a/stream", poll_interval="0.1") as viewer,
        open_stream(ROSTER, **WANTED) as roster,
    ):
        assert (await viewer.wait_for("job_status"))["waited_s"] == 0
        conductor.pause("a")
        paused = await viewer.wait_for_status(status="paused")
        assert paused["waited_s"] == 0
        assert paused["waiting"]["since"] > paused["started_at"]
        shown = {name: paused[name] for name in ("started_at", "waited_s", "waiting")}
        await wait_until(shows(roster, "a", **shown))
        async with client.get("/api/jobs/a/status") as answer:
            assert shown.items() <= (await answer.json()).items()
        conductor.resume("a")
        resumed = await viewer.wait_for_status(status="running")
        assert resumed["waited_s"] > 0
        assert "waiting" not in resumed
        # The roster reports the resume as the start.
        shown = {name: resumed[name] for name in ("started_at", "waited_s")}
        assert shown["started_at"] == paused["started_at"]
        await wait_until(shows(roster, "a", status="running", **shown))
