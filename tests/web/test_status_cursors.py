"""Resuming of a job's status: cursors, ends, and new runs."""

import asyncio
import socket

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.waiting import wait_until
from tests.web.conftest import Client, OpenStream

QUICK = "0.1"


async def test_resume_at_current_state_sends_no_snapshot(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_for("job_sheets")
    cursor = viewer.last_event_id
    async with open_stream(
        "/api/jobs/a/stream", last_event_id=cursor, poll_interval=QUICK
    ) as resumed:
        await resumed.wait_for("source")
        conductor.complete_sheet("a", 1)
        await resumed.wait_for("job_status")
    assert resumed.event_names == ["source", "job_status", "job_sheets"]
    assert len(resumed.event_data("job_sheets")[0]["sheets"]) == 1


async def test_resume_behind_current_state_sends_whole_state(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_for("job_sheets")
    conductor.complete_sheet("a", 1)
    async with open_stream("/api/jobs/a/stream", last_event_id=viewer.last_event_id) as resumed:
        await resumed.wait_for("job_sheets")
    assert len(resumed.event_data("job_sheets")[0]["sheets"]) == 2


async def test_invalid_status_cursor_is_ignored(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    for cursor in ("nonsense", "s-" + "0" * 24, "x" * 6000, "t-0123456789abcdef-1"):
        async with open_stream("/api/jobs/a/stream", last_event_id=cursor) as viewer:
            await viewer.wait_for("job_sheets")
        assert viewer.event_names == ["source", "job_status", "job_sheets"]


async def test_last_event_id_header_overrides_parameter(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_for("job_sheets")
    now, other = viewer.last_event_id, "s-" + "0" * 24
    resumed = {(now, other): 0, (other, now): 1, ("", now): 0, ("", other): 1}
    for (header, parameter), snapshots in resumed.items():
        path = f"/api/jobs/a/stream?last_event_id={parameter}"
        async with open_stream(path, last_event_id=header) as viewer:
            await viewer.wait_for("source")
        assert len(viewer.event_data("job_status")) == snapshots


async def test_resume_after_job_end_is_204_until_next_run(
    conductor: SimulatedConductor, open_stream: OpenStream, client: Client
) -> None:
    conductor.launch("a", 1)
    conductor.complete_sheet("a", 1)
    conductor.finish("a")
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_ended()
    assert viewer.last_event_id.startswith("f-")
    again = {"Last-Event-ID": viewer.last_event_id, "Accept": "text/event-stream"}
    for _ in range(2):
        async with client.get("/api/jobs/a/stream", headers=again) as response:
            assert response.status == 204
            assert await response.read() == b""
    conductor.launch("a", 1)
    async with open_stream("/api/jobs/a/stream", last_event_id=viewer.last_event_id) as resumed:
        await resumed.wait_for_status(status="running")


async def test_resume_before_job_end_sends_job_finished(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 1)
    conductor.finish("a")
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_ended()
    before_the_end = viewer.last_event_id.replace("f-", "s-")
    async with open_stream("/api/jobs/a/stream", last_event_id=before_the_end) as resumed:
        await resumed.wait_ended()
    assert resumed.event_names == ["source", "job_finished"]


async def test_old_job_end_does_not_finish_next_run(
    conductor: SimulatedConductor, open_stream: OpenStream, client: Client
) -> None:
    conductor.launch("a", 1)
    conductor.complete_sheet("a", 1)
    conductor.finish("a", event_delay_s=0)
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_ended()
    async with client.get("/api/jobs") as response:
        assert response.status == 200
    conductor.submit("a", 1)
    for cursor in ("", viewer.last_event_id):
        async with open_stream("/api/jobs/a/stream", last_event_id=cursor) as again:
            status = await again.wait_for("job_status")
            assert (status["status"], status["completed_sheets"]) == ("queued", 0)
            assert "job_finished" not in again.event_names


async def test_job_end_without_agreement_of_checkpoint_is_sent(
    conductor: SimulatedConductor,
    open_stream: OpenStream,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("marianne_stream.jobs.state_merge.CONFLICT_TIMEOUT_S", 0.3)
    conductor.launch("a", 2)
    conductor.set_status("a", roster="cancelled", checkpoint="running")
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_ended()
    assert viewer.event_data("job_finished")[0]["final_status"] == "cancelled"
    again = {"Last-Event-ID": viewer.last_event_id}
    async with client.get("/api/jobs/a/stream", headers=again) as response:
        assert response.status == 204


async def test_old_checkpoint_does_not_finish_resubmitted_job(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("other", 2)
    conductor.launch("a", 2)
    conductor.complete_sheet("a", 1)
    conductor.complete_sheet("a", 2)
    conductor.finish("a", event_delay_s=0)
    await asyncio.sleep(0.01)
    conductor.submit("a", 2)
    # The conductor updates the old checkpoint of `a` too.
    conductor.complete_sheet("other", 1)
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for_status(status="queued", completed_sheets=0)
        conductor.start_run("a")
        await viewer.wait_for_status(status="running", completed_sheets=0)
        conductor.complete_sheet("a", 1)
        conductor.complete_sheet("a", 2)
        conductor.finish("a")
        await viewer.wait_ended()
    assert [status for status, _, _ in viewer.progress] == ["queued", "running", "completed"]
    assert viewer.event_names.count("job_finished") == 1


async def get_status(client: Client) -> str:
    """Return the status of job a."""
    async with client.get("/api/jobs/a/status") as answer:
        status: str = (await answer.json())["status"]
        return status


async def test_slow_client_at_job_end_does_not_block_next_run(
    conductor: SimulatedConductor, open_stream: OpenStream, client: Client
) -> None:
    conductor.launch("a", 1)
    conductor.jobs["a"].sheet(1)["error_message"] = "x" * 8_000_000
    stuck = socket.create_connection(("127.0.0.1", client.port))
    stuck.send(b"GET /api/jobs/a/stream?poll_interval=30 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await wait_until(lambda: conductor.statistics.requests["job.status"])
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        conductor.finish("a", "failed")
        await viewer.wait_ended()
    await asyncio.sleep(0.1)
    conductor.submit("a", 1)
    # Until the server has heard of it, there is nothing new for one who comes back.
    async with asyncio.timeout(10):
        while await get_status(client) != "queued":
            pass
    async with open_stream("/api/jobs/a/stream", last_event_id=viewer.last_event_id) as again:
        assert (await again.wait_for("job_status"))["status"] == "queued"
        assert "job_finished" not in again.event_names
    stuck.close()
