"""The conductor's five connection slots stay free for others while servers come and go."""

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.conductors import make_dead_slots, occupy_slots, request_job_list
from tests.support.processes import ManagedProcess, run_server
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_for_value, wait_until

# Enough for either signal alone to exhaust the slots if each server left one taken.
RESTARTS = 12


async def wait_for_roster_job(viewer: Viewer, job_id: str, status: str) -> None:
    """Wait until a viewer of the roster has got a job with a status."""

    def found() -> bool:
        return any(
            (job["job_id"], job["status"]) == (job_id, status)
            for data in viewer.event_data("roster")
            for job in data["jobs"]
        )

    await wait_until(found)


async def ready(session: aiohttp.ClientSession, running: ManagedProcess) -> dict[str, Any]:
    async with session.get(f"{running.address}/ready") as answer:
        found: dict[str, Any] = await answer.json()
        return found


@pytest.mark.slow
@pytest.mark.parametrize("beside", ["idle", "quiet job", "busy job"])
async def test_restarted_servers_leave_three_slots_free(
    conductor: SimulatedConductor, tmp_path: Path, beside: str
) -> None:
    if beside != "idle":
        conductor.launch("beside", 2)
        conductor.dispatch("beside", 1)
    async with aiohttp.ClientSession() as session:
        for number in range(RESTARTS):
            async with run_server(tmp_path) as running:
                url = f"{running.address}/api/roster/stream"
                async with open_viewer(session, url) as viewer:
                    await viewer.wait_for("roster")
                    if beside == "busy job":
                        conductor.emit("beside", "observer.file_modified", {"path": "out.txt"})
                    job_id = f"job-{number}"
                    if beside == "idle":
                        # No event frees the dead slots: a job that is only submitted.
                        conductor.submit(job_id)
                        await wait_for_roster_job(viewer, job_id, "queued")
                    running.send_signal(signal.SIGKILL if number % 2 else signal.SIGTERM)
                    await running.wait()
            await wait_until(lambda: conductor.free_slots >= 3)
            assert json.loads(await request_job_list(conductor))["id"] == 1
        # A job that starts now appears, with events or without.
        async with run_server(tmp_path) as running:
            url = f"{running.address}/api/roster/stream"
            async with open_viewer(session, url) as viewer:
                await viewer.wait_for("roster")
                conductor.launch("last", 1)
                await wait_for_roster_job(viewer, "last", "running")


async def test_two_servers_leave_slots_for_others(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        viewers = []
        for _ in range(2):
            running = await stack.enter_async_context(run_server(tmp_path))
            url = f"{running.address}/api/jobs/a/stream"
            viewers.append(await stack.enter_async_context(open_viewer(session, url)))
        for viewer in viewers:
            await viewer.wait_for("job_sheets")
        for number in (1, 2):
            conductor.complete_sheet("a", number)
            for viewer in viewers:
                await viewer.wait_for_status(completed_sheets=number)
            assert await request_job_list(conductor)
        await wait_until(lambda: conductor.free_slots >= 2)


async def test_full_conductor_is_waited_for_with_one_connection(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 2)
    await conductor.flush()
    async with AsyncExitStack() as others, aiohttp.ClientSession() as session:
        await others.enter_async_context(occupy_slots(conductor, 5))
        async with run_server(tmp_path) as running:
            url = f"{running.address}/api/jobs/a/stream"
            async with open_viewer(session, url) as viewer:
                await viewer.wait_for("source")
                # Meanwhile the server shows the registry and the reason.
                source = viewer.event_data("source")[-1]
                assert (source["source"], source["live"]) == ("registry", False)
                assert "connection slots" in source["detail"]
                found = await ready(session, running)
                assert any("connection slots" in why for why in found["reasons"])
                # However long this lasts, only one connection waits.
                await asyncio.sleep(0.5)
                assert conductor.statistics.connections_open == 6
                await others.aclose()
                await wait_until(lambda: viewer.event_data("source")[-1]["live"])
                conductor.complete_sheet("a", 1)
                await viewer.wait_for_status(completed_sheets=1)
                assert running.log.count("all its slots may be taken") == 1
                async with asyncio.timeout(3):
                    await conductor.stop()
                await wait_for_value(
                    lambda: ready(session, running), lambda found: found["source"] == "registry"
                )


async def test_dead_slots_are_freed_by_the_next_event(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 2)
    await make_dead_slots(conductor, 4)
    async with run_server(tmp_path) as running, aiohttp.ClientSession() as session:
        url = f"{running.address}/api/jobs/a/stream"
        async with open_viewer(session, url) as viewer:
            await viewer.wait_for("job_sheets")
            # One slot for all: the server releases it between visits for another client.
            conductor.complete_sheet("a", 1)
            await viewer.wait_for_status(completed_sheets=1)
            assert await request_job_list(conductor)
            conductor.launch("b", 1)
            await wait_until(lambda: conductor.free_slots >= 3)


async def test_job_of_eight_megabytes_is_read_in_one_visit(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    heavy = conductor.launch("heavy", 20)
    heavy.pad(8_000_000)
    conductor.launch("light", 2)
    options = ("--conductor-events", "visits")
    async with (
        run_server(tmp_path, *options) as running,
        aiohttp.ClientSession(running.address) as session,
        open_viewer(session, "/api/jobs/heavy/stream") as one,
        open_viewer(session, "/api/jobs/light/stream") as other,
    ):
        await one.wait_for("job_sheets")
        await other.wait_for("job_sheets")
        conductor.complete_sheet("heavy", 1)
        conductor.complete_sheet("light", 1)
        await other.wait_for_status(completed_sheets=1)
        await one.wait_for_status(completed_sheets=1)
        assert await request_job_list(conductor)
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    assert conductor.free_slots == 5


async def test_visits_deliver_each_event_once_and_mark_observed_ones(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 2)
    options = ("--conductor-events", "visits")
    async with (
        run_server(tmp_path, *options) as running,
        aiohttp.ClientSession(running.address) as session,
        open_viewer(session, "/api/events/stream") as viewer,
    ):
        await wait_until(lambda: any(data["live"] for data in viewer.event_data("source")))
        for number in range(5):
            conductor.emit("a", "observer.file_created", {"path": f"{number}"})
        await viewer.wait_for("observer.file_created", count=5)
        conductor.pause("a")
        await viewer.wait_for("job.paused")
        conductor.resume("a")
        await viewer.wait_for("job.resuming")
        conductor.launch("b", 1)
        await viewer.wait_for("job.started")
        for number in range(5, 8):
            conductor.emit("b", "observer.file_created", {"path": f"{number}"})
        await viewer.wait_for("observer.file_created", count=8)
        conductor.finish("b")
        await viewer.wait_for("job.completed")
        paths = [data["data"]["path"] for data in viewer.event_data("observer.file_created")]
        assert paths == [str(number) for number in range(8)]
        assert all(
            data["observed"]
            for name in ("job.paused", "job.resuming", "job.started", "job.completed")
            for data in viewer.event_data(name)
        )
        assert conductor.statistics.monitor_streams_open == 0
