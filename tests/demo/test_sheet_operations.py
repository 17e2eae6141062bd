"""Operations on simulated sheets, compared with the checkpoints of a real conductor."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.scenario import Scenario
from marianne_stream.demo.score import Score
from marianne_stream.demo.sheet_operations import SheetOutput
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.state_history import StateHistory

Connect = Callable[[], Awaitable[Any]]

# The fields by which a reader tells attempts and waits.
FIELDS = ("status", "normal_attempts", "error_code", "error_message", "completed_at", "fire_at")


def recorded_sheet(path: Path, job_id: str) -> list[list[Any]]:
    """Return the recorded fields of sheet 2 of a job's last run, each change once."""
    found: list[list[Any]] = []
    for entry in Recording.from_file(path).entries:
        if entry.method == "job.status" and entry.job_id == job_id:
            result = entry.message["result"]
            sheet = result.get("sheets", {}).get("2")
            if sheet is None or entry.time_s < 0.05:
                continue
            fields = [sheet[name] for name in FIELDS]
            if not found or found[-1] != fields:
                found.append(fields)
    return found


def read_sheet(conductor: SimulatedConductor) -> list[Any]:
    return [conductor.jobs["a"].sheet(2)[name] for name in FIELDS]


def test_retries_are_written_as_recorded(recordings: Path, tmp_path: Path) -> None:
    conductor = SimulatedConductor(tmp_path / "c.sock")
    conductor.launch("a", 3)
    played = [read_sheet(conductor)]
    for is_last in (False, False, True):
        conductor.dispatch("a", 2)
        played.append(read_sheet(conductor))
        (conductor.fail_sheet if is_last else conductor.schedule_retry)("a", 2)
        played.append(read_sheet(conductor))
    assert played == recorded_sheet(recordings / "retry-scheduled.ndjson", "retry")


def test_rate_limit_is_written_as_recorded(recordings: Path, tmp_path: Path) -> None:
    conductor = SimulatedConductor(tmp_path / "c.sock")
    conductor.launch("a", 3)
    played = [read_sheet(conductor)]
    conductor.dispatch("a", 2)
    played.append(read_sheet(conductor))
    conductor.limit_rate("a", 2, 60)
    played.append(read_sheet(conductor))
    conductor.dispatch("a", 2)
    played.append(read_sheet(conductor))
    conductor.complete_sheet("a", 2)
    played.append(read_sheet(conductor))
    assert played == recorded_sheet(recordings / "rate-limit-and-cancel.ndjson", "quota")


async def test_waits_are_left_out_of_the_time_at_work(conductor: SimulatedConductor) -> None:
    conductor.launch("a", 1)
    conductor.dispatch("a", 1)
    dispatched_at = time.monotonic()
    conductor.hold_sheet("a", 1)
    assert conductor.jobs["a"].sheet_statuses() == {"1": "fermata"}
    worked_s = conductor.jobs["a"].sheet(1)["total_duration_seconds"]
    await asyncio.sleep(0.2)
    conductor.dispatch("a", 1)
    conductor.complete_sheet("a", 1)
    total_s = conductor.jobs["a"].sheet(1)["total_duration_seconds"]
    assert worked_s <= total_s <= time.monotonic() - dispatched_at - 0.2 + worked_s


async def test_reported_rate_limit_has_its_end(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    client = await connect()
    empty = {"backends": {}, "active_limits": 0, "recent_events_count": 0}
    assert await client.call("daemon.rate_limits") == empty
    conductor.launch("a", 1, instrument="claude-code")
    conductor.dispatch("a", 1)
    before = time.time()
    conductor.limit_rate("a", 1, 30, is_reported=True)
    ends_at = to_epoch_s(conductor.jobs["a"].sheet(1)["rate_limit_expires_at"])
    assert ends_at is not None
    assert before + 30 <= ends_at + 1e-5
    limits = await client.call("daemon.rate_limits")
    assert 0 < limits["backends"]["claude-code"]["seconds_remaining"] <= 30
    conductor.dispatch("a", 1)
    sheet = conductor.jobs["a"].sheet(1)
    assert to_epoch_s(sheet["rate_limit_expires_at"]) == ends_at
    del conductor.rate_limits_until["claude-code"]
    conductor.dispatch("a", 1)
    assert sheet["rate_limit_expires_at"] is None


def test_costs_are_zero_unless_reported(tmp_path: Path) -> None:
    conductor = SimulatedConductor(tmp_path / "c.sock")
    job = conductor.launch("a", 2)
    conductor.complete_sheet("a", 1)
    conductor.complete_sheet("a", 2, SheetOutput(estimated_cost=0.5, stdout_tail="done"))
    first, second = job.sheet(1), job.sheet(2)
    assert (first["total_cost_usd"], first["cost_confidence"]) == (0.0, 1.0)
    assert (first["input_tokens"], first["stdout_tail"]) == (None, None)
    assert (second["total_cost_usd"], second["stdout_tail"]) == (0.5, "done")
    assert job.checkpoint is not None
    assert job.checkpoint["total_estimated_cost"] == 0.5
    assert job.checkpoint["total_input_tokens"] == second["input_tokens"]


def test_resume_rewrites_the_ends_of_completed_sheets(tmp_path: Path) -> None:
    conductor = SimulatedConductor(tmp_path / "c.sock")
    job = conductor.launch("a", 3)
    conductor.complete_sheet("a", 1)
    conductor.fail_sheet("a", 2)
    assert job.sheet(1)["completed_at"] is None
    conductor.finish("a", "failed", event_delay_s=0)
    before = time.time()
    conductor.resume("a")
    ended_at = to_epoch_s(job.sheet(1)["completed_at"])
    assert ended_at is not None
    assert ended_at + 1e-5 >= before
    assert (job.sheet(2)["status"], job.sheet(2)["normal_attempts"]) == ("pending", 0)


async def test_hook_starts_a_job_and_is_reported_by_the_registry(tmp_path: Path) -> None:
    first = SimulatedConductor(tmp_path / "c.sock", registry=tmp_path / "s.db", shutdown_grace_s=0)
    await first.start()
    job = first.launch("a", 1)
    first.finish("a", event_delay_s=0)
    first.run_hook("a", "b")
    assert first.jobs["b"].status == "queued"
    assert job.status_result()["hook_results"] == []
    await first.stop()
    again = SimulatedConductor(tmp_path / "c.sock", registry=tmp_path / "s.db", shutdown_grace_s=0)
    await again.start()
    (result,) = again.jobs["a"].hook_results
    assert (result["hook_type"], result["chained_job_id"]) == ("run_job", "b")
    await again.stop()


async def test_two_conductors_share_nothing(conductor: SimulatedConductor, tmp_path: Path) -> None:
    other = SimulatedConductor(
        tmp_path / "clone.sock", registry=tmp_path / "clone.db", shutdown_grace_s=0
    )
    await other.start()
    conductor.launch("a", 2)
    other.launch("a", 5)
    assert conductor.jobs["a"].sheets == 2
    paths = {each.daemon.config()["state_db_path"] for each in (conductor, other)}
    assert paths == {str(tmp_path / "state.db"), str(tmp_path / "clone.db")}
    await other.stop()
    assert conductor.is_listening


async def test_top_has_a_process_for_each_sheet_at_work(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    conductor.launch("a", 2)
    conductor.dispatch("a", 2)
    top = await (await connect()).call("daemon.top")
    (process,) = top["processes"]
    assert (process["job_id"], process["sheet_num"]) == ("a", 2)
    assert (top["running_jobs"], top["active_sheets"], top["pressure_level"]) == (1, 1, "none")
    assert top["system_memory_used_mb"] > 0


@pytest.mark.parametrize("method", ["daemon.health", "daemon.ready", "daemon.status"])
def test_process_is_described_as_recorded(recordings: Path, tmp_path: Path, method: str) -> None:
    response = Recording.from_file(recordings / "four-jobs.ndjson").first_response(method)
    assert response is not None
    answer: Any = SimulatedConductor(tmp_path / "c.sock").answer(method, {})
    assert list(answer) == list(response.message["result"])


def test_settings_are_named_as_recorded(recordings: Path, tmp_path: Path) -> None:
    response = Recording.from_file(recordings / "four-jobs.ndjson").first_response("daemon.config")
    assert response is not None
    answer: Any = SimulatedConductor(tmp_path / "c.sock").answer("daemon.config", {})
    recorded = response.message["result"]
    assert set(answer) == set(recorded)
    for name, value in answer.items():
        if isinstance(value, dict):
            assert set(value) <= set(recorded[name])


async def test_scenario_plays_retries_limits_and_waits_for_a_person(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    history = StateHistory(conductor)
    score = Score(
        "a", (1, 2, 1), retried_sheet=1, limited_sheet=2, held_sheet=4, silent_sheet=4, silence_s=1
    )
    await Scenario(conductor, tmp_path, speed=100, rounds=1, scores=(score,)).run()
    seen: dict[str, list[str]] = {}
    for state in history.job_states["a"]:
        for number, status in state["sheets"].items():
            if (statuses := seen.setdefault(number, []))[-1:] != [status]:
                statuses.append(status)
    work = ["dispatched", "completed"]
    assert seen == {
        "1": ["dispatched", "retry_scheduled", *work],
        "2": ["pending", "dispatched", "waiting", *work],
        "3": ["pending", "dispatched", "waiting", *work],
        "4": ["pending", "dispatched", "fermata", *work],
    }


async def test_silent_sheet_shows_no_sign_of_life(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    score = Score("a", (1,), sheet_duration_s=1, silent_sheet=1, silence_s=10)
    with conductor.subscribe() as events:
        await Scenario(conductor, tmp_path, speed=50, rounds=1, scores=(score,)).run()
        sent = [events.get_nowait() for _ in range(events.qsize())]
    assert not [line for line in sent if b"observer." in line]
    assert not (tmp_path / "a" / "marianne.log").exists()
