"""Streams stay open while the conductor is killed and restarted repeatedly."""

from functools import partial
from pathlib import Path

import aiohttp

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.processes import run_server
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_until

TIMES = 20


def comes_from(viewer: Viewer, source: str) -> bool:
    return bool(viewer.event_data("source")[-1]["source"] == source)


async def test_streams_stay_open_while_the_conductor_is_killed(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", TIMES)
    await conductor.flush()
    async with run_server(tmp_path) as running, aiohttp.ClientSession() as session:
        url = running.address
        job = open_viewer(session, f"{url}/api/jobs/a/stream", poll_interval="0.1")
        roster = open_viewer(session, f"{url}/api/roster/stream", poll_interval="0.1")
        async with job as viewer, roster as roster_viewer:
            await viewer.wait_for("job_sheets")
            await roster_viewer.wait_for("roster")
            for number in range(1, TIMES + 1):
                await conductor.kill()
                for one in (viewer, roster_viewer):
                    await wait_until(partial(comes_from, one, "registry"))
                await conductor.start()
                conductor.complete_sheet("a", number)
                await viewer.wait_for_status(completed_sheets=number)
                # Wait for both: otherwise the next loss would be mistaken for this one.
                for one in (viewer, roster_viewer):
                    await wait_until(partial(comes_from, one, "conductor"))
                await wait_until(lambda: conductor.statistics.monitor_streams_open == 1)
            assert not viewer.has_ended
            assert not roster_viewer.has_ended
        sources = [data["source"] for data in viewer.event_data("source")]
        assert sources == ["conductor", "registry"] * TIMES + ["conductor"]
        assert "job_deleted" not in viewer.event_names
        completed = [data["completed_sheets"] for data in viewer.event_data("job_status")]
        assert completed == list(range(TIMES + 1))
        assert [data["source"] for data in roster_viewer.event_data("source")] == sources
    assert conductor.free_slots >= 3
