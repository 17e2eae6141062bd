"""Recorded events over real processes: cursors resume after a kill, and no id is given twice."""

import asyncio
import sqlite3
from pathlib import Path

import aiohttp

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.fanout.replay_buffer import MAX_REPLAY_EVENTS
from tests.support.history_servers import (
    STREAM,
    emit_steps,
    fetch_all_events,
    find_history,
    is_stored,
    kill,
    received_steps,
    run_recording_server,
    run_watched_server,
    wait_for_step,
    wait_until_stored,
)
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until

# Between two restarts of test_no_event_id_is_given_twice.
STEPS_PER_START = 5


async def test_event_cursor_resumes_after_a_kill(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a")
    async with run_watched_server(tmp_path, conductor) as (_, viewer):
        emit_steps(conductor, 1, 2, 3)
        await viewer.wait_for("test.step", 2)
        cursor = next(event.event_id for event in viewer.events if event.event == "test.step")
        await viewer.wait_for("test.step", 3)
        await wait_until_stored(tmp_path, 3)
    emit_steps(conductor, 4)
    async with (
        run_watched_server(tmp_path, conductor, cursor) as (server, viewer),
        aiohttp.ClientSession(server.address) as session,
    ):
        emit_steps(conductor, 5)
        await wait_for_step(viewer, 5)
        assert received_steps(viewer) == [2, 3, "monitor_lost", 5]
        async with open_viewer(session, "/api/jobs/a/events", last_event_id=cursor) as one_job:
            await wait_for_step(one_job, 5)
            assert received_steps(one_job) == [2, 3, "monitor_lost", 5]
        await wait_until_stored(tmp_path, 5)
        assert [
            event["data"]["step"]
            for event in await fetch_all_events(server.address, "a", limit=1)
            if event["event"] == "test.step"
        ] == [1, 2, 3, 5]


async def test_cursor_older_than_the_replay_buffer_resumes_without_a_hole(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    """Events come in while the stored ones are sent."""
    total, at_once = MAX_REPLAY_EVENTS + 3000, 90
    conductor.launch("a")
    conductor.launch("b")
    async with run_watched_server(tmp_path, conductor) as (_, viewer):
        emit_steps(conductor, 0)
        await viewer.wait_for("test.step")
        cursor = viewer.last_event_id
        for first in range(1, total, at_once):
            numbers = range(first, min(first + at_once, total))
            for number in numbers:
                emit_steps(conductor, number, job_id="ab"[number % 2])
            await viewer.wait_for("test.step", numbers[-1] + 1)
        await wait_until_stored(tmp_path, total - 1)
    async with (
        run_watched_server(tmp_path, conductor, cursor) as (server, viewer),
        aiohttp.ClientSession(server.address) as session,
        open_viewer(session, STREAM, last_event_id=cursor, job_id="b") as one_job,
    ):
        for number in range(total, total + 200):
            emit_steps(conductor, number, job_id="ab"[number % 2])
            await asyncio.sleep(0)
        for each in (viewer, one_job):
            await wait_for_step(each, total + 199)
        expected = [*range(1, total), "monitor_lost", *range(total, total + 200)]
        assert received_steps(viewer) == expected
        of_b = [step for step in expected if isinstance(step, str) or step % 2]
        assert received_steps(one_job) == of_b


async def test_cursor_whose_events_were_removed_is_told_first(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a")
    async with run_watched_server(tmp_path, conductor) as (_, viewer):
        emit_steps(conductor, 1)
        await viewer.wait_for("test.step")
        cursor = viewer.last_event_id
        emit_steps(conductor, 2, 3)
        await wait_until_stored(tmp_path, 3)
    database = sqlite3.connect(find_history(tmp_path), isolation_level=None)
    database.execute("UPDATE events SET seen_at = 0")
    database.close()
    async with run_recording_server(tmp_path) as server:
        # The history is cleaned soon after the start.
        await wait_until(lambda: not is_stored(tmp_path, 3))
        await kill(server)
    async with run_watched_server(tmp_path, conductor, cursor) as (_, viewer):
        emit_steps(conductor, 4)
        await viewer.wait_for("test.step")
        steps = received_steps(viewer)
    assert steps[0] == "cursor_expired"
    assert set(steps[1:-1]) == {"monitor_lost"}
    assert steps[-1] == 4


async def test_no_event_id_is_given_twice(conductor: SimulatedConductor, tmp_path: Path) -> None:
    conductor.launch("a")
    ids: list[str] = []
    step = 0
    cursor = ""
    steps: list[int | str] = []
    for _ in range(20):
        async with run_watched_server(tmp_path, conductor, cursor) as (_, viewer):
            await viewer.wait_for("source")
            emit_steps(conductor, *range(step, step + STEPS_PER_START))
            step += STEPS_PER_START
            await wait_for_step(viewer, step - 1)
            # Some of these are sent and not stored.
            steps += received_steps(viewer)
            ids += [e.event_id for e in viewer.events if e.event == "test.step"]
            cursor = viewer.last_event_id
    async with run_recording_server(tmp_path) as server:
        stored = await fetch_all_events(server.address, "a", limit=3)
    assert len(set(ids)) == len(ids)
    assert [one for one in steps if isinstance(one, int)] == list(range(step))
    assert steps.count("monitor_lost") == 19
    numbers = [event["data"]["step"] for event in stored if event["event"] == "test.step"]
    assert numbers == sorted(set(numbers))
