"""Jobs that are read from disk, without a conductor."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.viewers import open_viewer
from tests.web.conftest import Client

MakeClient = Callable[[web.Application], Awaitable[Client]]


async def test_registry_backend_shows_progress(
    conductor: SimulatedConductor, settings: Settings, aiohttp_client: MakeClient
) -> None:
    conductor.launch("a", 3)
    await conductor.flush()
    client = await aiohttp_client(
        create_app(settings.model_copy(update={"state_backend": "registry"}))
    )
    url = str(client.make_url("/api/jobs/a/stream"))
    async with open_viewer(client.session, url, poll_interval="0.1") as viewer:
        for number in (1, 2, 3):
            conductor.complete_sheet("a", number)
            await viewer.wait_for_status(completed_sheets=number)
        conductor.finish("a")
        await viewer.wait_ended()
    assert conductor.statistics.requests.total() == 0
    assert viewer.event_data("source") == [{"job_id": "a", "source": "registry", "live": False}]


@pytest.mark.parametrize("end", ["completed", "failed"])
async def test_checkpoint_dir_backend_shows_progress(
    tmp_path: Path, settings: Settings, aiohttp_client: MakeClient, end: str
) -> None:
    def write(status: str, *sheets: str) -> None:
        numbered = {str(n): {"status": each} for n, each in enumerate(sheets, 1)}
        checkpoint: dict[str, Any] = {"job_id": "a", "status": status, "sheets": numbered}
        (tmp_path / "new").write_text(json.dumps({**checkpoint, "total_sheets": 2}))
        (tmp_path / "new").replace(tmp_path / "a.json")

    write("running", "pending", "pending")
    update = {"state_backend": "json", "checkpoint_dir": tmp_path}
    client = await aiohttp_client(create_app(settings.model_copy(update=update)))
    url = str(client.make_url("/api/jobs/a/stream"))
    async with open_viewer(client.session, url, poll_interval="0.1") as viewer:
        await viewer.wait_for("job_sheets")
        write("running", "dispatched", "pending")
        await viewer.wait_for_status(current_sheet=1)
        write(end, "completed", end)
        await viewer.wait_ended()
    assert viewer.event_data("job_finished") == [{"job_id": "a", "final_status": end}]
