"""Waits and changes of a job that an earlier watcher, or an earlier process, has recorded."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import pytest

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_for_value
from tests.web.conftest import Client
from tests.web.test_jobs import get_json


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Return settings with a history."""
    return settings.model_copy(update={"history": "auto", "data_dir": tmp_path / "data"})


async def test_time_before_a_resume_is_a_wait_for_those_who_come_after_it(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 2)
    running = await get_json(client, "/api/jobs/a/status")
    conductor.finish("a", "failed")
    page = await wait_for_value(
        lambda: get_json(client, "/api/jobs/a/runs"),
        lambda page: page["runs"] and page["runs"][0].get("completed_at"),
    )
    (ended,) = page["runs"]
    conductor.resume("a")
    resumed = await get_json(client, "/api/jobs/a/status")
    assert resumed["status"] == "running"
    assert resumed["started_at"] == running["started_at"] == ended["started_at"]
    job = conductor.jobs["a"]
    assert job.started_at is not None
    ended_at = datetime.fromisoformat(ended["completed_at"]).timestamp()
    assert resumed["waited_s"] == pytest.approx(job.started_at - ended_at, abs=0.002)


async def test_last_change_is_known_after_a_restart_unless_the_job_has_changed_since(
    conductor: SimulatedConductor,
    client: Client,
    settings: Settings,
    aiohttp_client: Callable[..., Awaitable[Client]],
) -> None:
    for job_id in ("a", "b"):
        conductor.launch(job_id, 2)
    changed_at = {}
    for job_id in ("a", "b"):
        url = str(client.make_url(f"/api/jobs/{job_id}/stream"))
        async with open_viewer(client.session, url, poll_interval="0.1") as viewer:
            await viewer.wait_for("job_sheets")
            conductor.pause(job_id)
            status = await viewer.wait_for_status(status="paused")
        changed_at[job_id] = datetime.fromisoformat(status["last_progress_at"]).timestamp()
    await client.close()
    conductor.resume("b")
    client = await aiohttp_client(create_app(settings))
    resting = await get_json(client, "/api/jobs/a/status")
    shown = datetime.fromisoformat(resting["last_progress_at"]).timestamp()
    assert shown == pytest.approx(changed_at["a"], abs=0.1)
    assert resting["waiting"]["since"] <= resting["last_progress_at"]
    assert (await get_json(client, "/api/jobs/b/status"))["last_progress_at"] is None
