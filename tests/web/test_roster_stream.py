"""Stream of the roster: the whole roster, then changes."""

from pathlib import Path
from typing import Any

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.models import format_iso_time
from tests.support.waiting import wait_until
from tests.web.conftest import OpenStream

QUICK = "0.1"


async def test_roster_stream_sends_whole_roster_then_changes(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    conductor.launch("b", 2)
    async with open_stream("/api/roster/stream", poll_interval=QUICK) as viewer:
        first = await viewer.wait_for("roster")
        conductor.complete_sheet("a", 1)
        await viewer.wait_for("roster", 2)
        conductor.launch("c", 1)
        await viewer.wait_for("roster", 3)
        conductor.remove("b")
        await viewer.wait_for("roster", 4)
    assert viewer.event_names[0] == "source"
    assert [job["job_id"] for job in first["jobs"]] == ["b", "a"]
    changes = viewer.event_data("roster")[1:]
    assert [[job["job_id"] for job in change["jobs"]] for change in changes] == [["a"], ["c"], []]
    assert [change["removed"] for change in changes] == [[], [], ["b"]]
    assert changes[0]["jobs"][0]["completed_sheets"] == 1


async def test_roster_stream_reads_no_job(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with open_stream("/api/roster/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for("roster")
        conductor.complete_sheet("a", 1)
        await viewer.wait_for("roster", 2)
    assert conductor.statistics.requests["job.status"] == 0


async def test_roster_completed_at_is_cleared_when_job_resumes(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 1)
    async with open_stream("/api/roster/stream", poll_interval=QUICK) as viewer:

        def newest() -> dict[str, Any]:
            job: dict[str, Any] = viewer.event_data("roster")[-1]["jobs"][0]
            return job

        await viewer.wait_for("roster")
        assert newest()["completed_at"] is None
        conductor.finish("a")
        await wait_until(lambda: newest()["completed_at"])
        assert newest()["completed_at"] == format_iso_time(conductor.jobs["a"].completed_at)
        await conductor.kill()
        await wait_until(lambda: viewer.event_data("source")[-1]["source"] == "registry")
        await conductor.start()
        await wait_until(lambda: viewer.event_data("source")[-1]["source"] == "conductor")
        assert newest()["completed_at"]
        conductor.resume("a")
        await wait_until(lambda: newest()["status"] == "running")
        assert newest()["completed_at"] is None


async def test_roster_without_registry_has_no_completed_at(
    conductor: SimulatedConductor, open_stream: OpenStream, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    await conductor.flush()
    (tmp_path / "state.db").rename(tmp_path / "elsewhere.db")
    async with open_stream("/api/roster/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for("roster")
        conductor.finish("a")
        await viewer.wait_for("roster", 2)
    (job,) = viewer.event_data("roster")[1]["jobs"]
    assert (job["status"], job["completed_at"]) == ("completed", None)


async def test_resumed_roster_stream_sends_changes_only(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with open_stream("/api/roster/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for("roster")
    cursor = viewer.last_event_id
    async with open_stream(
        "/api/roster/stream", poll_interval=QUICK, last_event_id=cursor
    ) as resumed:
        await resumed.wait_for("source")
        conductor.launch("b", 1)
        change = await resumed.wait_for("roster")
        assert [job["job_id"] for job in change["jobs"]] == ["b"]
    async with open_stream("/api/roster/stream", last_event_id=cursor) as behind:
        whole = await behind.wait_for("roster")
        assert len(whole["jobs"]) == 2


async def test_roster_stream_sends_source_when_it_changes(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    await conductor.flush()
    async with open_stream("/api/roster/stream", poll_interval=QUICK) as viewer:
        await viewer.wait_for("roster")
        await conductor.kill()
        await wait_until(lambda: viewer.event_data("source")[-1]["source"] == "registry")
        await conductor.start()
        await wait_until(lambda: viewer.event_data("source")[-1]["source"] == "conductor")
        assert not viewer.has_ended
    # The registry knows no counts; that is no reason to take back what was known.
    assert len(viewer.event_data("roster")) == 1
    assert viewer.event_data("source")[0] == {"job_id": None, "source": "conductor", "live": True}
