"""The roster as a stream: everything first, then what changes."""

from marianne_stream.demo.conductor import SimulatedConductor
from tests.support.waiting import until
from tests.web.conftest import Watch

QUICK = "0.1"


async def test_the_roster_is_sent_whole_and_then_as_changes(
    conductor: SimulatedConductor, watch: Watch
) -> None:
    conductor.launch("a", 2)
    conductor.launch("b", 2)
    async with watch("/api/roster/stream", poll_interval=QUICK) as viewer:
        first = await viewer.saw("roster")
        conductor.complete_sheet("a", 1)
        await viewer.saw("roster", 2)
        conductor.launch("c", 1)
        await viewer.saw("roster", 3)
        conductor.remove("b")
        await viewer.saw("roster", 4)
    assert viewer.names[0] == "source"
    assert [job["job_id"] for job in first["jobs"]] == ["b", "a"]
    changes = viewer.data("roster")[1:]
    assert [[job["job_id"] for job in change["jobs"]] for change in changes] == [["a"], ["c"], []]
    assert [change["gone"] for change in changes] == [[], [], ["b"]]
    assert changes[0]["jobs"][0]["completed_sheets"] == 1


async def test_watching_the_roster_asks_for_no_job(
    conductor: SimulatedConductor, watch: Watch
) -> None:
    conductor.launch("a", 2)
    async with watch("/api/roster/stream", poll_interval=QUICK) as viewer:
        await viewer.saw("roster")
        conductor.complete_sheet("a", 1)
        await viewer.saw("roster", 2)
    assert conductor.statistics.requests["job.status"] == 0


async def test_one_who_resumes_gets_only_what_is_new(
    conductor: SimulatedConductor, watch: Watch
) -> None:
    conductor.launch("a", 2)
    async with watch("/api/roster/stream", poll_interval=QUICK) as viewer:
        await viewer.saw("roster")
    cursor = viewer.last_event_id
    async with watch("/api/roster/stream", poll_interval=QUICK, last_event_id=cursor) as resumed:
        await resumed.saw("source")
        conductor.launch("b", 1)
        change = await resumed.saw("roster")
        assert [job["job_id"] for job in change["jobs"]] == ["b"]
    async with watch("/api/roster/stream", last_event_id=cursor) as behind:
        whole = await behind.saw("roster")
        assert len(whole["jobs"]) == 2


async def test_the_source_is_told_when_it_changes(
    conductor: SimulatedConductor, watch: Watch
) -> None:
    conductor.launch("a", 2)
    await conductor.flush()
    async with watch("/api/roster/stream", poll_interval=QUICK) as viewer:
        await viewer.saw("roster")
        await conductor.kill()
        await until(lambda: viewer.data("source")[-1]["source"] == "registry")
        await conductor.start()
        await until(lambda: viewer.data("source")[-1]["source"] == "conductor")
        assert not viewer.ended
    # The registry knows no counts; that is no reason to take back what was known.
    assert len(viewer.data("roster")) == 1
    assert viewer.data("source")[0] == {"job_id": None, "source": "conductor", "live": True}
