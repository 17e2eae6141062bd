"""Tests of replaying a recording."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.demo.checkpoint_fields import format_time, make_checkpoint
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.replay import ReplayConductor
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import SettingsError
from tests.support.state_history import recorded_states

RECORDED = Path(__file__).parents[3] / "shared" / "recordings" / "four-jobs.ndjson"
recorded = pytest.mark.skipif(not RECORDED.exists(), reason="the recording is not there")


def make_response(time_s: float, method: str, result: object, **params: str) -> dict[str, Any]:
    """Return a recorded response, whose line is text as on the wire."""
    line = json.dumps({"jsonrpc": "2.0", "result": result, "id": 99})
    return {"t": time_s, "kind": "response", "method": method, "params": params, "line": line}


def write(path: Path, *entries: object) -> Path:
    """Write a recording."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


@pytest.fixture
async def replay(tmp_path: Path) -> AsyncIterator[ReplayConductor]:
    """Yield the conductor of a short recording that does not play yet."""
    fan = make_checkpoint("fan", sheets=2, now_s=0)
    event = {"jsonrpc": "2.0", "method": "monitor.event", "params": {"job_id": "fan"}}
    path = write(
        tmp_path / "short.ndjson",
        make_response(0.1, "daemon.health", {"status": "ok", "shutting_down": False}),
        make_response(1.0, "job.list", [{"job_id": "fan", "status": "running"}]),
        make_response(1.0, "job.status", fan, job_id="fan", workspace=""),
        {"t": 2.0, "kind": "notify", "line": event},
        make_response(3.0, "job.status", {**fan, "status": "paused"}, job_id="fan", workspace=""),
    )
    replay = ReplayConductor(
        tmp_path / "c.sock",
        Recording.from_file(path),
        speed=100,
        plays_at_start=False,
        shutdown_grace_s=0,
    )
    await replay.start()
    yield replay
    await replay.kill()


async def test_replay_before_start_has_no_jobs(
    replay: ReplayConductor,
) -> None:
    assert replay.answer("job.list", {}) == []
    assert getattr(replay.answer("job.status", {"job_id": "fan"}), "code", None) == -32000
    assert replay.answer("daemon.health", {}) == {"status": "ok", "shutting_down": False}
    assert getattr(replay.answer("no.such", {}), "code", None) == -32601


async def test_replay_sends_events_in_time_and_keeps_last_state(
    replay: ReplayConductor,
) -> None:
    reader, writer = await asyncio.open_unix_connection(replay.socket_path)
    writer.write(b'{"id":1,"method":"daemon.health"}\n{"id":2,"method":"daemon.monitor.stream"}\n')
    assert json.loads(await reader.readline())["id"] == 1
    assert replay.statistics.monitor_streams_open == 1
    replay.play()
    event = json.loads(await asyncio.wait_for(reader.readline(), 2))
    assert event["params"] == {"job_id": "fan"}
    assert replay.position_s >= 2.0
    await asyncio.wait_for(replay.finished.wait(), 2)
    status = replay.answer("job.status", {"job_id": "fan", "workspace": "elsewhere"})
    assert isinstance(status, dict)
    assert status["status"] == "paused"
    assert replay.answer("job.list", {}) == [{"job_id": "fan", "status": "running"}]
    writer.close()
    await writer.wait_closed()


async def test_replayed_times_are_those_of_playing(tmp_path: Path) -> None:
    started_at = 1_000_000_000.0
    fan = make_checkpoint("fan", sheets=1, now_s=started_at + 20)
    fan["sheets"]["1"].update(
        rate_limit_expires_at=format_time(started_at + 80), total_duration_seconds=30.0
    )
    event = {"method": "monitor.event", "params": {"job_id": "fan", "timestamp": started_at + 60}}
    path = write(
        tmp_path / "times.ndjson",
        make_response(10.0, "job.list", [{"job_id": "fan", "submitted_at": started_at - 40}]),
        make_response(20.1, "job.status", fan, job_id="fan"),
        {"t": 60.0, "kind": "notify", "line": event},
    )
    replay = ReplayConductor(
        tmp_path / "c.sock", Recording.from_file(path), speed=20, shutdown_grace_s=0
    )
    before = time.time()
    await replay.start()
    try:
        with replay.subscribe() as events:
            sent = json.loads(await asyncio.wait_for(events.get(), 5))
        played_at = sent["params"]["timestamp"] - 3
        assert before <= played_at <= time.time()
        (entry,) = cast("Any", replay.answer("job.list", {}))
        job = cast("Any", replay.answer("job.status", {"job_id": "fan"}))
    finally:
        await replay.kill()
    assert entry["submitted_at"] == pytest.approx(played_at - 2, abs=1e-3)
    assert to_epoch_s(job["started_at"]) == pytest.approx(played_at + 1, abs=1e-3)
    sheet = job["sheets"]["1"]
    assert to_epoch_s(sheet["rate_limit_expires_at"]) == pytest.approx(played_at + 4, abs=1e-3)
    assert sheet["total_duration_seconds"] == 1.5
    assert sheet["sheet_timeout_seconds"] == 1800.0


async def test_job_states_are_the_recorded_ones(replay: ReplayConductor) -> None:
    states = recorded_states(replay.recording)["fan"]
    assert [(state["t"], state["status"]) for state in states] == [
        (1.0, "running"),
        (3.0, "paused"),
    ]
    assert states[0]["sheets"] == {"1": "pending", "2": "pending"}


async def test_replay_reports_shutting_down_despite_recording(
    replay: ReplayConductor,
) -> None:
    await replay.stop()
    assert replay.answer("daemon.health", {}) == {"status": "ok", "shutting_down": True}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"t": 1', "expected JSON"),
        ("[]", "got [], expected an object"),
        ('{"t": "soon", "kind": "notify", "line": {}}', "got 'soon' as t, expected seconds"),
        ('{"t": 1, "kind": "notify", "line": 7}', "got 7 as line, expected an object"),
        ('{"t": 1, "kind": "notify", "line": "{"}', "expected JSON"),
        ('{"t": 1, "kind": "shout", "line": {}}', "expected a notify, or a response"),
    ],
)
def test_malformed_line_error_has_line_number(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "bad.ndjson"
    path.write_text('{"t": 0, "kind": "notify", "line": {}}\n' + line + "\n")
    with pytest.raises(SettingsError) as caught:
        Recording.from_file(path)
    assert f"{path}, line 2: " in str(caught.value)
    assert message in str(caught.value)


def test_missing_recording_error_has_path(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.ndjson cannot be read: No such file"):
        Recording.from_file(tmp_path / "none.ndjson")


@recorded
def test_recorded_jobs_end_with_recorded_status() -> None:
    truth = recorded_states(Recording.from_file(RECORDED))
    ends = {job: (states[-1]["status"], states[-1]["completed"]) for job, states in truth.items()}
    assert ends == {
        "wt": ("completed", 4),
        "failing": ("failed", 1),
        "fan": ("completed", 12),
        "tick": ("cancelled", 1),
    }


@recorded
def test_simulated_job_has_recorded_fields(tmp_path: Path) -> None:
    recording = Recording.from_file(RECORDED)
    last = recording.duration_s
    status = recording.response_at(last, "job.status", "wt")
    roster = recording.response_at(last, "job.list")
    assert status is not None
    assert roster is not None
    conductor = SimulatedConductor(tmp_path / "c.sock")
    job = conductor.launch("wt", sheets=4)
    recorded_job = status.message["result"]
    assert set(job.status_result()) == set(recorded_job)
    assert set(job.sheet(1)) == set(recorded_job["sheets"]["1"])
    assert list(job.roster_entry()) == list(roster.message["result"][0])
    unchanging = {key for key in job.sheet(1) if key not in {"status", "total_duration_seconds"}}
    recorded_sheet = recorded_job["sheets"]["1"]
    assert all(job.sheet(1)[key] == recorded_sheet[key] for key in unchanging)
