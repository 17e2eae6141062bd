"""Stream of a job's status: every change, in order, once, to the end."""

import asyncio
from pathlib import Path

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.waiting import wait_until
from tests.web.conftest import Client, OpenStream

QUICK = "0.1"


async def test_status_stream_follows_job_to_its_end(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for("job_sheets")
        conductor.dispatch("a", 1)
        await viewer.wait_for_status(current_sheet=1)
        conductor.complete_sheet("a", 1)
        await viewer.wait_for_status(completed_sheets=1)
        conductor.dispatch("a", 2)
        await viewer.wait_for_status(current_sheet=2)
        conductor.complete_sheet("a", 2)
        conductor.finish("a")
        await viewer.wait_ended()
    assert viewer.progress == [
        ("running", 0, None),
        ("running", 0, 1),
        ("running", 1, None),
        ("running", 1, 2),
        ("completed", 2, None),
    ]
    assert viewer.event_names[0] == "source"
    assert viewer.event_data("source") == [{"job_id": "a", "source": "conductor", "live": True}]
    assert viewer.event_data("job_finished") == [{"job_id": "a", "final_status": "completed"}]
    assert viewer.event_names[-1] == "job_finished"
    percents = [data["progress_percent"] for data in viewer.event_data("job_status")]
    assert percents == [0.0, 0.0, 50.0, 50.0, 100.0]


async def test_unannounced_pause_is_sent_within_poll_interval(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 3)
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for_status(status="running")
        conductor.pause("a")
        await viewer.wait_for_status(status="paused")
        conductor.resume("a")
        await viewer.wait_for_status(status="running")
        conductor.cancel("a")
        await viewer.wait_ended()
    assert viewer.event_data("job_finished")[0]["final_status"] == "cancelled"


async def test_announced_change_is_sent_before_poll_interval(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 1)
    async with open_stream("/api/jobs/a/stream", poll_interval="30.0") as viewer:
        await viewer.wait_for_status(status="running")
        await wait_until(lambda: conductor.statistics.monitor_streams_open)
        conductor.complete_sheet("a", 1)
        conductor.finish("a")
        await viewer.wait_ended(timeout_s=5)
    assert viewer.progress[-1] == ("completed", 1, None)


async def test_dispatched_sheet_is_sent_with_its_process(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with open_stream("/api/jobs/a/stream", poll_interval="30.0") as viewer:
        await viewer.wait_for("job_sheets")
        await wait_until(lambda: conductor.statistics.monitor_streams_open)
        conductor.dispatch("a", 1)
        conductor.emit("a", "observer.process_spawned", {"pid": 1, "name": "bash"})
        await viewer.wait_for_status(current_sheet=1, timeout_s=5)


async def test_job_error_is_that_of_failed_sheet(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    conductor.fail_sheet("a", 1, "Exit code 1")
    conductor.finish("a", "failed")
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_ended()
    assert viewer.event_data("job_status")[0]["error_message"] == "Exit code 1"
    assert viewer.event_names == ["source", "job_status", "job_sheets", "job_finished"]


async def test_many_clients_cause_as_many_reads_as_one(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with asyncio.TaskGroup() as group:

        async def view() -> None:
            async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
                await viewer.wait_for("job_sheets")
                await viewer.wait_ended()

        for _ in range(30):
            group.create_task(view())
        await wait_until(lambda: conductor.statistics.requests["job.status"])
        conductor.complete_sheet("a", 1)
        await asyncio.sleep(0.3)
        conductor.complete_sheet("a", 2)
        conductor.finish("a")
    # One for the first state, one a change, and one soon after each change.
    assert conductor.statistics.requests["job.status"] <= 3 + 3 + 3


async def test_watcher_ends_with_last_client(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for("job_sheets")
    await asyncio.sleep(0.15)
    before = conductor.statistics.requests["job.list"]
    await asyncio.sleep(0.3)
    assert conductor.statistics.requests["job.list"] == before


async def test_job_finished_requires_roster_and_checkpoint_to_agree(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 1)
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for_status(status="running")
        conductor.set_status("a", roster="completed", checkpoint="running")
        await viewer.wait_for_status(status="completed")
        await asyncio.sleep(0.3)
        assert "job_finished" not in viewer.event_names
        conductor.set_status("a", checkpoint="completed")
        await viewer.wait_ended()
    assert viewer.event_names.count("job_finished") == 1


async def test_job_without_checkpoint_has_status_and_no_sheets(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.submit("a", 3)
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        first = await viewer.wait_for("job_status")
        assert (first["status"], first["completed_sheets"]) == ("queued", 0)
        assert viewer.event_names == ["source", "job_status", "job_sheets"]
        assert viewer.event_data("job_sheets") == [{"job_id": "a", "complete": True, "sheets": []}]
        conductor.start_run("a")
        sheets = await viewer.wait_for("job_sheets", 2)
        assert sheets["complete"]
        assert len(sheets["sheets"]) == 3


async def test_unknown_status_is_sent_and_ends_nothing(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 1)
    conductor.set_status("a", roster="levitating", checkpoint="levitating")
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for_status(status="levitating")
        conductor.set_status("a", roster="paused_at_chain", checkpoint="paused")
        await viewer.wait_for_status(status="paused_at_chain")
        assert not viewer.has_ended


async def test_job_removed_from_conductor_and_registry_is_deleted(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 1)
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for("job_sheets")
        conductor.remove("a")
        await viewer.wait_ended()
    assert viewer.event_data("job_deleted") == [{"job_id": "a"}]
    assert viewer.event_names[-1] == "job_deleted"


async def test_job_still_in_registry_is_not_deleted(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 1)
    await conductor.flush()
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for("job_sheets")
        conductor.remove("a", keep_row=True)
        await viewer.wait_for("source", 2)
        await asyncio.sleep(0.3)
        assert not viewer.has_ended
    assert viewer.event_data("source")[-1] == {"job_id": "a", "source": "registry", "live": False}


async def test_status_without_conductor_comes_from_registry(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    conductor.complete_sheet("a", 1)
    await conductor.flush()
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for_status(completed_sheets=1)
        await conductor.kill()
        await viewer.wait_for("source", 2)
        await conductor.start()
        await viewer.wait_for("source", 3)
        conductor.complete_sheet("a", 2)
        await viewer.wait_for_status(completed_sheets=2)
        assert not viewer.has_ended
    assert [data["source"] for data in viewer.event_data("source")] == [
        "conductor",
        "registry",
        "conductor",
    ]
    assert "job_deleted" not in viewer.event_names
    assert [completed for _, completed, _ in viewer.progress] == [1, 2]


async def test_status_without_any_backend_keeps_last_state(
    conductor: SimulatedConductor, open_stream: OpenStream, tmp_path: Path
) -> None:
    conductor.launch("a", 2)
    await conductor.flush()
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for("job_sheets")
        await conductor.kill()
        (tmp_path / "state.db").unlink()
        await wait_until(lambda: viewer.event_data("source")[-1]["source"] == "none")
        assert not viewer.has_ended
        await conductor.start()
        await wait_until(lambda: viewer.event_data("source")[-1]["source"] == "conductor")
    assert len(viewer.event_data("job_status")) == 1


async def test_change_before_first_frame_is_not_lost(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    conductor.faults.response_delay_s["job.status"] = 0.1
    async with asyncio.TaskGroup() as group:

        async def change() -> None:
            await wait_until(lambda: conductor.statistics.requests["job.status"])
            conductor.complete_sheet("a", 1)

        group.create_task(change())
        async with open_stream("/api/jobs/a/stream", poll_interval="0.2") as viewer:
            await viewer.wait_for_status(completed_sheets=1)


async def test_refused_read_of_listed_job_keeps_its_state(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    conductor.complete_sheet("a", 1)
    async with open_stream("/api/jobs/a/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for_status(completed_sheets=1)
        refusal = b'{"jsonrpc":"2.0","error":{"code":-32000,"message":"busy"},"id":%d}\n'
        asked = conductor.statistics.requests["job.status"]
        # The ids of all calls of one connection count up: some of these are the next calls'.
        conductor.faults.raw_responses["job.status"] = b"".join(
            refusal % number for number in range(200)
        )
        await wait_until(lambda: conductor.statistics.requests["job.status"] >= asked + 2)
        del conductor.faults.raw_responses["job.status"]
        conductor.complete_sheet("a", 2)
        await viewer.wait_for_status(completed_sheets=2)
    assert viewer.progress == [("running", 1, None), ("running", 2, None)]


async def test_job_id_that_is_not_utf8_can_be_watched(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("caf\udce9 {1}", 1)
    for path in ("/api/jobs/caf%E9%20%7B1%7D/stream", r"/api/jobs/caf\xe9%20{1}/stream"):
        async with open_stream(path) as viewer:
            status = await viewer.wait_for("job_status")
        assert status["job_id"] == r"caf\xe9 {1}"


async def test_stream_headers_disable_proxy_buffering(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 1)
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_for("job_sheets")
    headers = viewer.response.headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "private, no-store, no-transform"
    assert headers["X-Accel-Buffering"] == "no"
    assert viewer.raw.startswith(b"retry: 2000\n\n")


async def test_stream_over_http_1_0_has_no_chunks(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 1)
    conductor.complete_sheet("a", 1)
    conductor.finish("a")
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET /api/jobs/a/stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert b"chunked" not in head.lower()
    assert b"connection: close" in head.lower()
    assert body.startswith(b"retry: 2000\n\n")
    assert body.endswith(b"\n\n")
    assert b"event: job_finished\n" in body
