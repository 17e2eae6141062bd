"""Tests of operations on simulated jobs, as clients see them."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.waiting import wait_until

Connect = Callable[[], Awaitable[Any]]


async def test_queued_job_has_metadata_only(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    client = await connect()
    conductor.submit("fan", sheets=2)
    bare = await client.call("job.status", job_id="fan", workspace="")
    assert bare == {
        "job_id": "fan",
        "status": "queued",
        "config_path": "/srv/scores/fan.yaml",
        "workspace": "/srv/scores/ws-fan",
        "submitted_at": bare["submitted_at"],
        "started_at": None,
    }
    assert await client.call("job.list") == [bare]
    conductor.start_run("fan")
    checkpoint = await client.call("job.status", job_id="fan")
    assert (checkpoint["status"], checkpoint["total_sheets"]) == ("running", 2)
    assert [sheet["status"] for sheet in checkpoint["sheets"].values()] == ["pending"] * 2


async def test_job_failed_before_checkpoint_has_error_in_metadata(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    conductor.submit("broken")
    conductor.finish("broken", "failed", error_message="No such instrument")
    answer = await (await connect()).call("job.status", job_id="broken")
    assert (answer["status"], answer["error_message"]) == ("failed", "No such instrument")
    assert "sheets" not in answer


async def test_progress_counts_completed_sheets(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    conductor.launch("failing", sheets=3)
    for sheet in (1, 2):
        conductor.dispatch("failing", sheet)
    conductor.complete_sheet("failing", 1)
    conductor.fail_sheet("failing", 2, "Exit code 1")
    conductor.skip_sheet("failing", 3, failed_sheet=2)
    conductor.finish("failing", "failed")
    client = await connect()
    (entry,) = await client.call("job.list")
    assert (entry["progress_completed"], entry["progress_total"]) == (1, 3)
    job = await client.call("job.status", job_id="failing")
    assert (job["status"], job["error_message"], job["current_sheet"]) == ("failed", None, None)
    assert job["completed_at"].endswith("Z")
    assert job["sheets"]["2"]["error_message"] == "Exit code 1"
    assert job["sheets"]["3"]["error_message"] == "Blocked by failed dependency: sheet 2"


async def test_resubmitted_job_keeps_old_checkpoint_until_start(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    client = await connect()
    conductor.launch("wt", sheets=1)
    conductor.complete_sheet("wt", 1)
    conductor.finish("wt")
    conductor.submit("wt", sheets=3)
    (entry,) = await client.call("job.list")
    assert entry["status"] == "queued"
    assert (await client.call("job.status", job_id="wt"))["status"] == "completed"
    conductor.start_run("wt")
    assert (await client.call("job.status", job_id="wt"))["total_sheets"] == 3


async def test_old_checkpoint_of_resubmitted_job_goes_on_being_updated(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    client = await connect()
    for job_id in ("wt", "other"):
        conductor.launch(job_id, sheets=1)
    conductor.finish("wt")
    conductor.submit("wt", sheets=3)
    before = await client.call("job.status", job_id="wt")
    conductor.complete_sheet("other", 1)
    after = await client.call("job.status", job_id="wt")
    assert after["updated_at"] > before["updated_at"]
    assert after["created_at"] == before["created_at"]


async def test_events_for_start_resume_and_end_only(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    client = await connect()
    await client.send("daemon.monitor.stream")
    await wait_until(lambda: conductor.statistics.monitor_streams_open == 1)
    conductor.launch("fan", sheets=1)
    conductor.dispatch("fan", 1)
    conductor.pause("fan")
    conductor.resume("fan")
    conductor.complete_sheet("fan", 1)
    conductor.finish("fan")
    conductor.launch("tick")
    conductor.cancel("tick")
    events = [(await client.read_message())["params"] for _ in range(4)]
    assert [(event["job_id"], event["event"]) for event in events] == [
        ("fan", "job.started"),
        ("fan", "job.resuming"),
        ("tick", "job.started"),
        ("fan", "job.completed"),
    ]
    assert events[-1]["data"] == {"all_success": True}
    assert await client.is_silent()


async def test_sheet_events_are_optional(tmp_path: Path) -> None:
    conductor = SimulatedConductor(tmp_path / "c.sock", has_sheet_events=True)
    with conductor.subscribe() as events:
        conductor.launch("fan", sheets=3)
        conductor.dispatch("fan", 1)
        conductor.complete_sheet("fan", 1)
        conductor.fail_sheet("fan", 2, "no")
        conductor.skip_sheet("fan", 3, failed_sheet=2)
        sent = [json.loads(events.get_nowait())["params"] for _ in range(events.qsize())]
    assert [(event["event"], event["sheet_num"]) for event in sent] == [
        ("job.started", 0),
        ("sheet.started", 1),
        ("sheet.completed", 1),
        ("sheet.failed", 2),
        ("baton.sheet.skipped", 3),
    ]


async def test_cancelled_job_loses_roster_progress_and_keeps_sheets(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    conductor.launch("tick", sheets=2)
    conductor.dispatch("tick", 1)
    conductor.cancel("tick")
    client = await connect()
    (entry,) = await client.call("job.list")
    assert entry["status"] == "cancelled"
    assert "progress_completed" not in entry
    job = await client.call("job.status", job_id="tick")
    assert (job["status"], job["sheets"]["1"]["status"]) == ("cancelled", "dispatched")


async def test_resume_sets_new_start_and_keeps_completed_sheets(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    client = await connect()
    conductor.launch("fan", sheets=2)
    conductor.complete_sheet("fan", 1)
    conductor.fail_sheet("fan", 2)
    conductor.finish("fan", "failed")
    before = await client.call("job.status", job_id="fan")
    conductor.resume("fan")
    after = await client.call("job.status", job_id="fan")
    assert after["started_at"] > before["started_at"]
    assert after["created_at"] == before["created_at"]
    assert (after["status"], after["completed_at"]) == ("running", None)
    assert conductor.jobs["fan"].sheet_statuses() == {"1": "completed", "2": "pending"}


async def test_paused_at_chain_is_in_the_roster_only(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    conductor.launch("chain")
    conductor.pause_at_chain("chain")
    client = await connect()
    assert (await client.call("job.list"))[0]["status"] == "paused_at_chain"
    assert (await client.call("job.status", job_id="chain"))["status"] == "running"


async def test_set_status_accepts_unknown_status(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    conductor.launch("new")
    conductor.set_status("new", roster="rehearsing", checkpoint="rehearsing")
    client = await connect()
    assert (await client.call("job.list"))[0]["status"] == "rehearsing"
    assert (await client.call("job.status", job_id="new"))["status"] == "rehearsing"


async def test_roster_is_limited_to_newest_jobs(tmp_path: Path) -> None:
    conductor = SimulatedConductor(tmp_path / "c.sock", max_listed_jobs=2)
    for job_id in ("one", "two", "three", "one"):
        conductor.submit(job_id)
    roster = conductor.answer("job.list", {})
    assert isinstance(roster, list)
    assert [entry["job_id"] for entry in roster] == ["three", "one"]
    assert conductor.answer("job.status", {"job_id": "two"}) == conductor.jobs["two"].roster_entry()


async def test_removed_job_is_not_found(conductor: SimulatedConductor, connect: Connect) -> None:
    conductor.submit("gone")
    conductor.remove("gone")
    client = await connect()
    assert await client.call_error("job.status", job_id="gone") == {
        "code": -32000,
        "message": "Job 'gone' not found",
        "data": None,
    }
    assert await client.call("job.list") == []


async def test_observer_events_are_kept_while_the_job_runs(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    conductor.launch("fan")
    for number in range(3):
        conductor.emit("fan", "observer.file_created", {"path": f"out-{number}.txt"})
    client = await connect()
    answer = await client.call("daemon.observer_events", job_id="fan", limit=2)
    assert [event["data"]["path"] for event in answer["events"]] == ["out-2.txt", "out-1.txt"]
    conductor.launch("other")
    conductor.emit("other", "observer.file_created", {"path": "newest.txt"})
    events = (await client.call("daemon.observer_events", limit=2000))["events"]
    assert [event["data"]["path"] for event in events] == [
        "newest.txt",
        "out-2.txt",
        "out-1.txt",
        "out-0.txt",
    ]
    refused = await client.call_error("daemon.observer_events", job_id="fan", limit=0)
    assert refused["code"] == -32602


@pytest.mark.parametrize("of", ["values", "strings"])
async def test_padded_job_has_minimum_size(
    conductor: SimulatedConductor, connect: Connect, of: Literal["values", "strings"]
) -> None:
    conductor.launch("long", sheets=40).pad(4_000_000, kind=of)
    client = await connect()
    await client.send("job.status", job_id="long")
    line = await client.reader.readline()
    assert 4_000_000 < len(line) < 4_010_000
    assert json.loads(line)["result"]["total_sheets"] == 40


async def test_daemon_methods_report_the_process(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    conductor.launch("fan")
    client = await connect()
    assert (await client.call("daemon.status"))["running_jobs"] == 1
    assert (await client.call("daemon.ready"))["status"] == "ready"
    config = await client.call("daemon.config")
    assert config["log_file"] is None
    assert config["state_db_path"] == conductor.daemon.state_db_path
