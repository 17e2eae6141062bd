"""Tests of the scenarios and of the recorded history."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from marianne_stream.demo.recording import Recording
from marianne_stream.demo.scenario import Scenario
from marianne_stream.demo.score import DEMO_SCORES
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.recorded_scenario import make_recorded_scenario
from tests.support.state_history import StateHistory, recorded_states
from tests.support.waiting import wait_until

RECORDED = Path(__file__).parents[3] / "shared" / "recordings" / "four-jobs.ndjson"
LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9} \[(debug|info|warning|error)\] sheet "
)


def steps(states: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return the states of a job without their times."""
    return [(state["status"], state["completed"], state["sheets"]) for state in states]


@pytest.mark.skipif(not RECORDED.exists(), reason="the recording is not there")
async def test_recorded_scenario_has_recorded_states(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    history = StateHistory(conductor)
    scenario = make_recorded_scenario(conductor, tmp_path, speed=60)
    await asyncio.wait_for(scenario.run(), 5)
    recorded = recorded_states(Recording.from_file(RECORDED))
    assert list(history.job_states) == list(recorded)
    for job_id, states in history.job_states.items():
        # The recorder polled: it may have missed short states of the real jobs.
        played = iter(step for step in steps(states) if step[0] != "queued")
        missed = [step for step in steps(recorded[job_id]) if step not in played]
        # The recording starts after the first sheet was dispatched.
        assert missed == []


async def test_demo_scenario_is_deterministic_and_repeats(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    history = StateHistory(conductor)
    scenario = Scenario(conductor, tmp_path / "a", speed=100, rounds=2)
    await asyncio.wait_for(scenario.run(), 5)
    other = SimulatedConductor(tmp_path / "other.sock")
    other_history = StateHistory(other)
    again = Scenario(other, tmp_path / "b", speed=100, rounds=2)
    await asyncio.wait_for(again.run(), 5)
    ends = {job_id: states[-1]["status"] for job_id, states in history.job_states.items()}
    assert ends == {
        "tide-tables": "completed",
        "lantern-festival": "failed",
        "cathedral-of-moss": "completed",
        "paper-boats": "cancelled",
    }
    for job_id, states in history.job_states.items():
        assert steps(states) == steps(other_history.job_states[job_id])
        assert [state["status"] for state in states].count("queued") == 2
    moss = history.job_states["cathedral-of-moss"]
    assert any(list(state["sheets"].values()).count("dispatched") == 4 for state in moss)
    assert "paused" in {state["status"] for state in moss}


async def test_job_logs_have_all_levels_unicode_and_json(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    await asyncio.wait_for(Scenario(conductor, tmp_path, speed=100, rounds=3).run(), 5)
    lines: list[str] = []
    for job in conductor.jobs.values():
        log = Path(job.workspace) / "marianne.log"
        lines += log.read_text(encoding="utf-8").splitlines()
    objects = [json.loads(line) for line in lines if line.startswith("{")]
    others = [line for line in lines if not line.startswith("{")]
    assert objects
    assert all(LOG_LINE.match(line) for line in others)
    levels = {line.split("[")[1].split("]")[0] for line in others}
    assert levels == {"debug", "info", "warning", "error"}
    assert any(not line.isascii() for line in others)


def test_demo_changes_within_2_s_and_completes_within_15_s() -> None:
    first = DEMO_SCORES[0]
    assert first.start_delay_s + first.queue_time_s + first.sheet_duration_s < 2
    assert first.queue_time_s + first.sheets * (first.sheet_duration_s + first.movement_gap_s) < 15


async def test_cancelled_scenario_leaves_jobs_unchanged(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    tasks = asyncio.all_tasks()
    playing = asyncio.create_task(Scenario(conductor, tmp_path, speed=20).run())
    await wait_until(lambda: len(conductor.jobs) == 4)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    await conductor.flush()
    assert asyncio.all_tasks() == tasks
    assert conductor.jobs["tide-tables"].status == "running"


async def test_observer_events_every_2_s_of_running_job(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    heard: set[str] = set()
    with conductor.subscribe() as events:
        playing = asyncio.create_task(Scenario(conductor, tmp_path, speed=50, rounds=1).run())
        async with asyncio.timeout(5):
            while len([name for name in heard if name.startswith("observer.")]) < 4:
                heard.add(json.loads(await events.get())["params"]["event"])
        await playing
    assert heard >= {
        "observer.process_spawned",
        "observer.process_exited",
        "observer.file_created",
        "observer.file_modified",
    }
