"""Recorded runs of jobs that end while no server runs."""

from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.history_servers import run_recording_server
from tests.support.waiting import wait_for_value


async def fetch_run(address: str, job_id: str) -> dict[str, Any]:
    """Return the newest recorded run of a job; {} without one."""
    async with (
        aiohttp.ClientSession(address) as session,
        session.get(f"/api/jobs/{job_id}/runs/latest") as answer,
    ):
        found: dict[str, Any] = await answer.json()
        return found if answer.status == 200 else {}


async def test_job_that_ended_while_no_server_ran_is_recorded_as_ended(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    async with run_recording_server(tmp_path) as running:
        conductor.launch("a", 2)
        conductor.dispatch("a", 1)
        fetch = partial(fetch_run, running.address, "a")
        await wait_for_value(fetch, lambda run: run.get("sheets"))
    conductor.complete_sheet("a", 1)
    conductor.cancel("a")
    async with run_recording_server(tmp_path) as running:
        fetch = partial(fetch_run, running.address, "a")
        run = await wait_for_value(fetch, lambda run: run.get("status") == "cancelled")
    assert "completed_at" not in run["sheets"][0]
    assert [each["backfilled"] for each in run["transitions"][-2:]] == [True, True]
