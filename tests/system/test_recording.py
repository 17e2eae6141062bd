"""What was recorded on a real conductor, and its like, is what every viewer sees."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from marianne_stream.demo.conductor import SimulatedConductor
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.replay import Replay
from marianne_stream.demo.scenario import four_jobs
from tests.support.processes import server
from tests.support.stalls import stalls
from tests.support.truth import happened, missing, seen_by
from tests.support.viewers import Viewer, watching

JOBS = ("wt", "failing", "fan", "tick")
ENDS = {"wt": "completed", "failing": "failed", "fan": "completed", "tick": "cancelled"}

SPEED = 6.0
INTERVAL_S = 0.1

# A state that lasts no longer than a poll interval may be missed, and another one is for the way.
# On a busy machine, the server stands still about as long as this process does, and looks that
# nobody asked for take a twentieth of the time at most: each stall costs as much as twenty.
SEEN_AFTER_S = INTERVAL_S * 2
STALLS_COST = 20


async def watch_to_the_end(session: aiohttp.ClientSession, url: str) -> Viewer:
    """Asks until the job is there, as a program would that knows its name, and watches it."""
    while True:
        async with watching(session, url, poll_interval=str(INTERVAL_S)) as viewer:
            if viewer.response.status == 200:
                await viewer.end(limit_s=60)
                return viewer
        await asyncio.sleep(0.02)


@asynccontextmanager
async def watched(folder: Path, begin: Callable[[], object]) -> AsyncIterator[dict[str, Viewer]]:
    """Each job watched to its end by a viewer that was there before the jobs were."""
    async with server(folder) as running, aiohttp.ClientSession() as session:
        urls = {job: f"{running.address}/api/jobs/{job}/stream" for job in JOBS}
        tasks = {
            job: asyncio.create_task(watch_to_the_end(session, url)) for job, url in urls.items()
        }
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
    """Every viewer saw what happened, in order, complete, and the end once."""
    closer_than_s = SEEN_AFTER_S + STALLS_COST * stalled_s
    for job, viewer in viewers.items():
        seen = seen_by(viewer)
        assert missing(happened(truth[job]), seen, closer_than_s=closer_than_s) == [], seen
        completed = [state[1] for state in seen]
        assert completed == sorted(completed)
        assert viewer.data("job_finished") == [{"job_id": job, "final_status": ENDS[job]}]
        assert viewer.names[-1] == "job_finished"
    assert "paused" in [state[0] for state in seen_by(viewers["fan"])]


async def test_a_recording_is_seen_as_it_was_recorded(recordings: Path, tmp_path: Path) -> None:
    recording = await asyncio.to_thread(Recording.load, recordings / "four-jobs.ndjson")
    replay = Replay(tmp_path / "c.sock", recording, speed=SPEED, begin_at_start=False)
    await replay.start()
    try:
        async with stalls() as stalled, watched(tmp_path, replay.begin) as viewers:
            truth = {
                job: [{**moment, "t": moment["t"] / SPEED} for moment in moments]
                for job, moments in replay.truth().items()
            }
            check(viewers, truth, stalled_s=stalled.longest_s)
        assert replay.statistics.connections_peak == 2
    finally:
        await replay.kill()


async def test_four_jobs_like_the_recorded_ones_are_seen_as_they_happened(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    scenario = four_jobs(conductor, tmp_path, speed=SPEED)
    playing: list[asyncio.Task[None]] = []

    def begin() -> None:
        playing.append(asyncio.create_task(scenario.run()))

    async with stalls() as stalled, watched(tmp_path, begin) as viewers:
        await playing[0]
        check(viewers, scenario.truth, stalled_s=stalled.longest_s)
    assert conductor.statistics.connections_peak == 2
