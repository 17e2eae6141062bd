"""Recorded traffic of a real conductor, and similar traffic, reaches every viewer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from marianne_stream.demo.recording import Recording
from marianne_stream.demo.replay import ReplayConductor
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.expected_states import expected_states, find_missing_states, viewer_states
from tests.support.loop_lag import measure_loop_lag
from tests.support.processes import run_server
from tests.support.recorded_scenario import make_recorded_scenario
from tests.support.state_history import StateHistory, recorded_states
from tests.support.viewers import Viewer, open_viewer

JOBS = ("wt", "failing", "fan", "tick")
ENDS = {"wt": "completed", "failing": "failed", "fan": "completed", "tick": "cancelled"}

SPEED = 4.0
INTERVAL_S = 0.1

# A state shorter than the time between two reads may be missed: 0.25 s between sheets.
# On a busy machine the server stalls about as long as this process does, and background
# reads may take a twentieth of the time: each stall delays them by twenty times as much.
SEEN_AFTER_S = 0.35
STALLS_COST = 20

pytestmark = pytest.mark.slow


async def watch_to_end(session: aiohttp.ClientSession, url: str) -> Viewer:
    """Request the job until it exists, then watch it to its end."""
    while True:
        async with open_viewer(session, url, poll_interval=str(INTERVAL_S)) as viewer:
            if viewer.response.status == 200:
                await viewer.wait_ended(timeout_s=60)
                return viewer
        await asyncio.sleep(0.02)


@asynccontextmanager
async def watched(folder: Path, begin: Callable[[], object]) -> AsyncIterator[dict[str, Viewer]]:
    """Watch each job to its end with a viewer that started before the job did."""
    async with run_server(folder) as running, aiohttp.ClientSession() as session:
        urls = {job: f"{running.address}/api/jobs/{job}/stream" for job in JOBS}
        tasks = {job: asyncio.create_task(watch_to_end(session, url)) for job, url in urls.items()}
        await asyncio.sleep(0.1)
        begin()
        await asyncio.wait(tasks.values())
        viewers = {job: task.result() for job, task in tasks.items()}
        yield viewers
        for job, viewer in viewers.items():
            again = {"Last-Event-ID": viewer.last_event_id, "Accept": "text/event-stream"}
            async with session.get(urls[job], headers=again) as response:
                assert response.status == 204


def check(
    viewers: dict[str, Viewer], truth: Mapping[str, list[dict[str, Any]]], *, stalled_s: float
) -> None:
    """Check that every viewer saw all states in order, and the end once."""
    closer_than_s = SEEN_AFTER_S + STALLS_COST * stalled_s
    for job, viewer in viewers.items():
        seen = viewer_states(viewer)
        assert (
            find_missing_states(expected_states(truth[job]), seen, min_duration_s=closer_than_s)
            == []
        ), seen
        completed = [state[1] for state in seen]
        assert completed == sorted(completed)
        assert viewer.event_data("job_finished") == [{"job_id": job, "final_status": ENDS[job]}]
        assert viewer.event_names[-1] == "job_finished"
    assert "paused" in [state[0] for state in viewer_states(viewers["fan"])]


async def test_recording_is_shown_as_recorded(recordings: Path, tmp_path: Path) -> None:
    recording = await asyncio.to_thread(Recording.from_file, recordings / "four-jobs.ndjson")
    replay = ReplayConductor(tmp_path / "c.sock", recording, speed=SPEED, plays_at_start=False)
    await replay.start()
    try:
        async with measure_loop_lag() as stalled, watched(tmp_path, replay.play) as viewers:
            truth = {
                job: [{**moment, "t": moment["t"] / SPEED} for moment in moments]
                for job, moments in recorded_states(recording).items()
            }
            check(viewers, truth, stalled_s=stalled.max_s)
    finally:
        await replay.kill()


async def test_four_recorded_jobs_at_once_are_shown_as_they_happened(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    scenario = make_recorded_scenario(conductor, tmp_path, speed=SPEED)
    history = StateHistory(conductor)
    playing: list[asyncio.Task[None]] = []

    def begin() -> None:
        playing.append(asyncio.create_task(scenario.run()))

    async with measure_loop_lag() as stalled, watched(tmp_path, begin) as viewers:
        await playing[0]
        check(viewers, history.job_states, stalled_s=stalled.max_s)


Jobs = dict[str, dict[str, Any]]


@asynccontextmanager
async def replayed(path: Path, folder: Path) -> AsyncIterator[tuple[Viewer, aiohttp.ClientSession]]:
    """Watch the roster of a recording with details, from before its beginning to its end."""
    recording = await asyncio.to_thread(Recording.from_file, path)
    replay = ReplayConductor(folder / "c.sock", recording, speed=SPEED, plays_at_start=False)
    await replay.start()
    try:
        async with (
            run_server(folder) as running,
            aiohttp.ClientSession(running.address) as session,
            open_viewer(session, "/api/roster/stream", details="true") as viewer,
        ):
            await viewer.wait_for("roster")
            replay.play()
            await replay.finished.wait()
            await asyncio.sleep(1)
            yield viewer, session
    finally:
        await replay.kill()


def rosters(viewer: Viewer) -> list[Jobs]:
    """Return the roster as a client has it after each event."""
    found: list[Jobs] = []
    jobs: Jobs = {}
    for data in viewer.event_data("roster"):
        jobs = {} if data["complete"] else dict(jobs)
        jobs.update({job["job_id"]: job for job in data["jobs"]})
        for job_id in data["removed"]:
            del jobs[job_id]
        found.append(jobs)
    return found


async def fetch_sheets(session: aiohttp.ClientSession, job_id: str) -> dict[int, str]:
    async with session.get(f"/api/jobs/{job_id}") as answer:
        return {sheet["number"]: sheet["status"] for sheet in (await answer.json())["sheets"]}


async def test_ended_jobs_show_no_progress_while_others_run(
    recordings: Path, tmp_path: Path
) -> None:
    async with replayed(recordings / "two-ended-one-runs.ndjson", tmp_path) as (viewer, _):
        seen = rosters(viewer)
    ends = {job_id: job["status"] for job_id, job in seen[-1].items()}
    assert ends == {"speak": "completed", "fails": "failed", "pauseme": "completed"}
    for job_id, status in ends.items():
        over = [jobs[job_id] for jobs in seen if jobs.get(job_id, {}).get("status") == status]
        # The roster reports the end and the checkpoint the last sheet, milliseconds apart.
        assert len({job["last_progress_at"] for job in over}) <= 2
        assert over[0]["last_progress_at"] is not None
    assert "paused" in [jobs["pauseme"]["status"] for jobs in seen if "pauseme" in jobs]
    # Sheets run in sequence: the active one follows the completed ones.
    for jobs in seen:
        for job in jobs.values():
            assert job["current_sheet"] in (None, job["completed_sheets"] + 1)


async def test_retried_and_skipped_sheets_are_shown(recordings: Path, tmp_path: Path) -> None:
    async with replayed(recordings / "retry-scheduled.ndjson", tmp_path) as (viewer, session):
        assert {i: job["status"] for i, job in rosters(viewer)[-1].items()} == {
            "retry": "failed",
            "skip": "completed",
        }
        assert await fetch_sheets(session, "retry") == {1: "completed", 2: "failed", 3: "skipped"}
        async with session.get("/api/jobs/retry") as answer:
            found = await answer.json()
    assert found["current_sheet"] is None
    assert found["error_message"]


async def test_rate_limited_sheet_and_cancelled_job_are_shown(
    recordings: Path, tmp_path: Path
) -> None:
    async with replayed(recordings / "rate-limit-and-cancel.ndjson", tmp_path) as (viewer, session):
        last = rosters(viewer)[-1]
        assert (last["quota"]["status"], last["quota"]["completed_sheets"]) == ("completed", 3)
        # The roster has no counts of a cancelled job: the last known ones stay.
        assert (last["cancelme"]["status"], last["cancelme"]["total_sheets"]) == ("cancelled", 3)
        assert last["cancelme"]["current_sheet"] is None
        sheets = await fetch_sheets(session, "cancelme")
    assert "stopped" in sheets.values()
    assert not {"dispatched", "in_progress"} & set(sheets.values())


async def test_cancelled_resumed_chained_and_cleared_jobs_are_shown(
    recordings: Path, tmp_path: Path
) -> None:
    async with replayed(recordings / "cancel-resume-clear.ndjson", tmp_path) as (viewer, session):
        seen = rosters(viewer)
        assert "q4" in seen[1] | seen[2]
        assert {i: job["status"] for i, job in seen[-1].items()} == {
            "chain-a": "completed",
            "chain-b": "completed",
            "cancelme": "cancelled",
        }
        assert "stopped" in (await fetch_sheets(session, "cancelme")).values()
