"""Statements about jobs stay true despite the habits of a real conductor."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.processes import run_server
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_for_value, wait_until

JOBS = ("done", "stopped")


class JobClient:
    """Client that requests jobs as JSON."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def get(self, path: str) -> Any:
        async with self.session.get(path) as answer:
            return await answer.json()

    async def listed(self, job_id: str) -> dict[str, Any]:
        jobs = (await self.get("/api/jobs"))["jobs"]
        return next((job for job in jobs if job["job_id"] == job_id), {})

    async def wait_for_listed(self, job_id: str, field: str) -> dict[str, Any]:
        """Request the job list until a field of the job's entry is set."""
        found: dict[str, Any] = await wait_for_value(
            lambda: self.listed(job_id), lambda job: job.get(field) is not None
        )
        return found


@asynccontextmanager
async def job_client(folder: Path, *options: object) -> AsyncIterator[JobClient]:
    """Run a server and return a client of it."""
    async with (
        run_server(folder, *options) as running,
        aiohttp.ClientSession(running.address) as session,
    ):
        yield JobClient(session)


def epoch_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def test_job_that_ends_in_the_registry_only_is_shown_as_ended(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("done", 1)
    conductor.complete_sheet("done", 1)
    conductor.finish("done")
    conductor.launch("stopped", 1)
    conductor.cancel("stopped")
    ended_at = time.time()
    async with job_client(tmp_path) as client:
        before = {job_id: await client.wait_for_listed(job_id, "completed_at") for job_id in JOBS}
        await asyncio.sleep(1.1)
        await conductor.stop()
        await wait_for_value(
            lambda: client.get("/ready"), lambda found: found["source"] == "registry"
        )
        for job_id, known in before.items():
            assert (await client.listed(job_id))["completed_at"] == known["completed_at"]
    # A server that starts later has only the checkpoint.
    async with job_client(tmp_path) as client:
        found = await client.listed("done")
        assert abs(epoch_s(found["completed_at"]) - ended_at) < 1
        assert (found["completed_sheets"], found["total_sheets"]) == (1, 1)


async def test_stalled_job_shows_no_progress_while_others_do(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    for job_id in ("hangs", "works"):
        conductor.launch(job_id, 3)
        conductor.dispatch(job_id, 1)
    async with (
        job_client(tmp_path) as client,
        open_viewer(client.session, "/api/jobs/hangs/stream") as hanging,
        open_viewer(client.session, "/api/jobs/works/stream") as working,
    ):
        await hanging.wait_for("job_sheets")
        await working.wait_for("job_sheets")
        assert hanging.event_data("job_status")[-1]["last_progress_at"] is None
        conductor.complete_sheet("works", 1)
        await working.wait_for_status(completed_sheets=1)
        assert working.event_data("job_status")[-1]["last_progress_at"] is not None
        found = await client.get("/api/jobs/hangs/status")
        assert found["last_progress_at"] is None
        assert hanging.event_counts["job_status"] == 1


@pytest.mark.parametrize("how", ["cancel", "crash"])
async def test_ended_job_has_no_active_sheet(
    conductor: SimulatedConductor, tmp_path: Path, how: str
) -> None:
    conductor.launch("a", 3)
    conductor.complete_sheet("a", 1)
    conductor.dispatch("a", 2)
    await conductor.flush()
    if how == "cancel":
        conductor.cancel("a")
    else:
        await conductor.kill()
        conductor.jobs.clear()
        await conductor.start()
    async with job_client(tmp_path) as client:

        async def ended() -> dict[str, Any]:
            found: dict[str, Any] = await client.get("/api/jobs/a")
            return found

        wanted = "cancelled" if how == "cancel" else "failed"
        job = await wait_for_value(ended, lambda job: job["status"] == wanted)
        assert job["current_sheet"] is None
        assert [sheet["status"] for sheet in job["sheets"]] == ["completed", "stopped", "pending"]
        job = await wait_for_value(ended, lambda job: job["completed_at"])
        entry = await wait_for_value(lambda: client.listed("a"), lambda job: job["completed_at"])
        assert (entry["completed_sheets"], entry["total_sheets"]) == (1, 3)
        if how == "crash":
            assert job["error_message"] == "Daemon restarted while job was active"


async def test_counts_survive_a_conductor_restart(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    for job_id, status in (("done", "completed"), ("broken", "failed"), ("waits", "")):
        conductor.launch(job_id, 4)
        conductor.complete_sheet(job_id, 1)
        if status:
            conductor.finish(job_id, status)
        else:
            conductor.pause(job_id)
    await conductor.flush()
    await conductor.kill()
    conductor.jobs.clear()
    await conductor.start()
    async with job_client(tmp_path) as client:
        for job_id in ("done", "broken", "waits"):
            found = await client.wait_for_listed(job_id, "completed_sheets")
            assert (found["completed_sheets"], found["total_sheets"]) == (1, 4)


async def test_jobs_of_another_conductor_are_not_listed(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = SimulatedConductor(
        tmp_path / "other" / "c.sock", registry=tmp_path / "other" / "state.db", shutdown_grace_s=0
    )
    await other.start()
    other.launch("theirs", 1)
    await other.stop()
    conductor.launch("ours", 1)
    await conductor.flush()
    async with (
        run_server(tmp_path, "--registry-path", tmp_path / "other" / "state.db") as running,
        aiohttp.ClientSession(running.address) as session,
    ):
        client = JobClient(session)
        assert [job["job_id"] for job in (await client.get("/api/jobs"))["jobs"]] == ["ours"]
        await conductor.kill()
        found = await wait_for_value(lambda: client.get("/ready"), lambda found: not found["live"])
        assert found["reasons"]
        assert "jobs" not in await client.get("/api/jobs")
        await wait_until(lambda: "registry not read reason=" in running.log)


async def test_sheet_count_and_current_sheet_are_consistent(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 20)
    async with (
        job_client(tmp_path) as client,
        open_viewer(client.session, "/api/roster/stream", details="true") as viewer,
    ):
        await viewer.wait_for("roster")
        for number in range(1, 21):
            conductor.dispatch("a", number)
            await asyncio.sleep(0.05)
            conductor.complete_sheet("a", number)
            await asyncio.sleep(0.05)
        seen = [job for data in viewer.event_data("roster") for job in data["jobs"]]
    for job in seen:
        assert job["current_sheet"] in (None, job["completed_sheets"] + 1), job
