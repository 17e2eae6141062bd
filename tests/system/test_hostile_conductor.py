"""A conductor with hostile answers: the server keeps running and reports the unusable ones."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support import hostile_conductor
from tests.support.processes import ManagedProcess, run_process, run_server
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_for_value

DRAIN_S = 5.0

# More than the largest answer and the objects that are made of it.
GROWTH_KIB = 256 * 1024


@asynccontextmanager
async def served_from(tmp_path: Path, kind: str, *options: str) -> AsyncIterator[ManagedProcess]:
    """Run a server on a hostile conductor and a registry with its job `other`."""
    before = SimulatedConductor(tmp_path / "c.sock", registry=tmp_path / "state.db")
    await before.start()
    before.launch("other", hostile_conductor.TOTAL_SHEETS)
    await before.flush()
    await before.kill()
    async with (
        run_process(hostile_conductor.__file__, tmp_path / "c.sock", kind),
        run_server(tmp_path, "--drain-timeout-s", DRAIN_S, *options) as running,
    ):
        memory_kib = running.rss_kib()
        yield running
        assert running.rss_kib() < memory_kib + GROWTH_KIB
        running.send_signal(signal.SIGTERM)
        assert await running.wait(timeout_s=DRAIN_S + 2) == 0
        assert "Traceback" not in running.log


async def health_until(session: aiohttp.ClientSession, condition: Callable[[], object]) -> None:
    """Request `/health` repeatedly until a condition holds; each request must be answered."""

    async def health() -> int:
        async with session.get("health", timeout=aiohttp.ClientTimeout(5)) as answer:
            return answer.status

    async with asyncio.timeout(60):
        while not condition():
            assert await health() == 200
            await asyncio.sleep(0.01)


def completed(viewer: Viewer) -> int:
    """Return the completed sheets of a viewer's newest `job_status`."""
    return int(
        (viewer.event_data("job_status") or [{"completed_sheets": 0}])[-1]["completed_sheets"]
    )


async def monitor_events(session: aiohttp.ClientSession) -> int:
    """Return the number of monitor events that the server has received."""
    async with session.get("metrics") as answer:
        text = await answer.text()
    name = "\nmarianne_stream_monitor_events_total "
    return int(float(text.partition(name)[2].partition("\n")[0]))


async def test_event_flood_delays_no_request_and_takes_no_memory(tmp_path: Path) -> None:
    async with (
        served_from(tmp_path, "flood") as running,
        aiohttp.ClientSession(f"{running.address}/") as session,
        open_viewer(session, "api/jobs/other/stream") as viewer,
        open_viewer(session, "api/roster/stream?details=true"),
    ):
        rounds = 0
        while rounds < 5 or await monitor_events(session) <= 50_000:
            rounds += 1
            seen = completed(viewer)
            await health_until(session, lambda seen=seen: completed(viewer) > seen + 5)  # type: ignore[misc]
        assert running.rss_kib() < 300 * 1024


async def test_roster_with_lone_surrogates_is_served(tmp_path: Path) -> None:
    async with (
        served_from(tmp_path, "lone_halves") as running,
        aiohttp.ClientSession(f"{running.address}/") as session,
        open_viewer(session, "api/jobs/other/stream") as viewer,
    ):
        await health_until(session, lambda: completed(viewer) > 20)

        async def job_ids() -> set[str]:
            async with session.get("api/jobs") as answer:
                return {job["job_id"] for job in (await answer.json())["jobs"]}

        await wait_for_value(job_ids, lambda found: found == {"other", "odd"}, timeout_s=60)
        # An answer that takes too long for a busy machine is replaced by the registry.
        await health_until(
            session, lambda: viewer.event_data("source")[-1]["source"] == "conductor"
        )


@pytest.mark.parametrize("kind", ["not_numbers", "not_jobs"])
async def test_roster_of_millions_of_values_is_replaced_by_the_registry(
    tmp_path: Path, kind: str
) -> None:
    async with (
        served_from(tmp_path, kind) as running,
        aiohttp.ClientSession(f"{running.address}/") as session,
        open_viewer(session, "api/jobs/other/stream") as viewer,
        open_viewer(session, "api/roster/stream?details=true") as roster,
    ):
        await health_until(
            session, lambda: roster.event_counts["roster"] and viewer.event_counts["job_status"]
        )
        await health_until(session, lambda: "state source changed source=registry" in running.log)
        assert roster.event_data("source")[-1]["source"] == "registry"
        async with session.get("api/jobs") as answer:
            assert [job["job_id"] for job in (await answer.json())["jobs"]] == ["other"]


async def test_job_of_a_million_sheets_is_read_from_the_registry(tmp_path: Path) -> None:
    async with (
        served_from(tmp_path, "many_sheets") as running,
        aiohttp.ClientSession(f"{running.address}/") as session,
        open_viewer(session, "api/jobs/other/stream") as viewer,
    ):
        await health_until(session, lambda: "job read from registry job='other'" in running.log)
        await health_until(session, lambda: viewer.event_counts["job_status"])


async def test_millions_of_recent_events_do_not_delay_the_state(tmp_path: Path) -> None:
    async with (
        served_from(tmp_path, "many_events", "--conductor-events", "visits") as running,
        aiohttp.ClientSession(f"{running.address}/") as session,
        open_viewer(session, "api/jobs/other/stream") as viewer,
        open_viewer(session, "api/jobs/other/events"),
    ):
        await health_until(session, lambda: completed(viewer) > 20)
