"""Several streams in one: each event names its part, and each part resumes and ends by itself."""

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.combined_streams import combined, events_of, last_id, lines_of
from tests.support.log_files import append_lines
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_until
from tests.web.conftest import NARROWED, Client, OpenStream, Start


@pytest.fixture
async def log_path(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """Run the jobs a and b, and return the path of a's log."""
    workspace = tmp_path / "ws"
    workspace.mkdir()
    conductor.launch("a", 2, workspace=str(workspace))
    conductor.launch("b", 2)
    append_lines(workspace / "marianne.log", "one", "two")
    return workspace / "marianne.log"


def completed_sheets(viewer: Viewer, part: str) -> int:
    """Return the count of the newest status."""
    counts = [d["completed_sheets"] for name, d in events_of(viewer, part) if name == "job_status"]
    return int(counts[-1]) if counts else -1


PARTS = ("roster", "status:a", "status:b", "events:a", "log:a")


async def test_each_event_names_its_part(
    conductor: SimulatedConductor, open_stream: OpenStream, log_path: Path
) -> None:
    async with open_stream(combined(*PARTS)) as viewer:
        for part in PARTS:
            await wait_until(lambda part=part: events_of(viewer, part))  # type: ignore[misc]
        append_lines(log_path, "three")
        conductor.complete_sheet("b", 1)
        await wait_until(lambda: "three" in [d.get("line") for _, d in events_of(viewer, "log:a")])
        await wait_until(lambda: completed_sheets(viewer, "status:b") == 1)
        assert {data["job_id"] for _, data in events_of(viewer, "log:a")} == {"a"}
        assert {"source", "roster"} <= {name for name, _ in events_of(viewer, "roster")}
        assert {data["job_id"] for _, data in events_of(viewer, "events:a")} == {"a"}
        assert all("part" in json.loads(e.data) for e in viewer.events if e.event != "heartbeat")
        assert {data["job_id"] for n, data in events_of(viewer, "status:a")} == {"a"}


async def test_each_part_resumes_at_its_own_cursor(
    conductor: SimulatedConductor, open_stream: OpenStream, log_path: Path
) -> None:
    parts = ("roster", "status:a", "log:a", "events:a")
    async with open_stream(combined(*parts)) as viewer:
        await wait_until(lambda: len([1 for n, _ in events_of(viewer, "log:a") if n == "log"]) == 2)
        await wait_until(lambda: "job_sheets" in [n for n, _ in events_of(viewer, "status:a")])
        conductor.emit("a", "job.said", {"what": "before"})
        await wait_until(lambda: "job.said" in [n for n, _ in events_of(viewer, "events:a")])
        cursors = {f"c{i}": last_id(viewer, part) for i, part in enumerate(parts)}
    append_lines(log_path, "three")
    conductor.emit("a", "job.said", {"what": "after"})
    async with open_stream(combined(*parts, **cursors)) as viewer:
        await wait_until(lambda: "log" in [n for n, _ in events_of(viewer, "log:a")])
        await wait_until(lambda: "job.said" in [n for n, _ in events_of(viewer, "events:a")])
        assert [d["line"] for n, d in events_of(viewer, "log:a") if n == "log"] == ["three"]
        said = [d["data"]["what"] for n, d in events_of(viewer, "events:a") if n == "job.said"]
        assert said == ["after"]
        assert [n for n, _ in events_of(viewer, "status:a")] == ["source"]


async def test_cursor_may_give_the_number_of_its_part(
    open_stream: OpenStream, log_path: Path
) -> None:
    text = "あ" * 400
    append_lines(log_path, f"one {text}")
    name = f"log:a?{urlencode({'contains': text})}"
    async with open_stream(combined("status:a", name)) as viewer:
        await viewer.wait_for("log")
        _, cursor = last_id(viewer, name).rsplit(",", 1)
    append_lines(log_path, f"two {text}")
    async with open_stream(combined("status:a", name, c=f"2,{cursor}")) as viewer:
        await viewer.wait_for("log")
        assert lines_of(viewer, name) == [f"two {text}"]


async def test_last_event_id_resumes_the_only_part_of_its_kind(
    open_stream: OpenStream, log_path: Path
) -> None:
    async with open_stream(combined("log:a")) as viewer:
        await viewer.wait_for("log", 2)
    append_lines(log_path, "three")
    last = viewer.last_event_id
    async with open_stream(combined("status:a", "log:a"), last_event_id=last) as viewer:
        await viewer.wait_for("log")
        await viewer.wait_for("job_sheets")
        assert [data["line"] for data in viewer.event_data("log")] == ["three"]


async def test_last_event_id_replaces_the_cursor_in_the_address(
    open_stream: OpenStream, log_path: Path
) -> None:
    async with open_stream(combined("log:a")) as viewer:
        await viewer.wait_for("log", 2)
        begin = viewer.events[-2].event_id
        last = viewer.last_event_id
    append_lines(log_path, "three")
    # An EventSource that began at a cursor cannot change its URL when it reconnects.
    address = combined("log:a", c=f"log:a,{begin}")
    async with open_stream(address, last_event_id=last) as viewer:
        await viewer.wait_for("log")
        assert [data["line"] for data in viewer.event_data("log")] == ["three"]


async def test_last_event_id_resumes_the_state_that_it_identifies(
    open_stream: OpenStream, log_path: Path
) -> None:
    del log_path
    async with open_stream(combined("status:b")) as viewer:
        await viewer.wait_for("job_sheets")
        last = viewer.last_event_id
    async with open_stream(combined("status:a", "status:b"), last_event_id=last) as viewer:
        await viewer.wait_for("job_sheets")
        await viewer.wait_for("source", 2)
        assert {data["part"] for data in viewer.event_data("job_sheets")} == {"status:a"}


async def test_resumed_log_says_that_it_has_begun(open_stream: OpenStream, log_path: Path) -> None:
    del log_path
    async with open_stream(combined("log:a")) as viewer:
        await viewer.wait_for("log", 2)
        cursor = last_id(viewer, "log:a")
    async with open_stream(combined("log:a", c=cursor)) as viewer:
        assert await viewer.wait_for("part_start") == {"part": "log:a", "job_id": "a"}
        assert not viewer.event_data("log")


async def test_part_of_a_log_waits_for_it_unless_it_is_told_not_to(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("c", 1)
    async with open_stream(combined("log:c", "log:c?wait=false")) as viewer:
        await viewer.wait_for("log_missing")
        error = await viewer.wait_for("part_error")
        assert (error["part"], error["code"]) == ("log:c?wait=false", "log_not_found")


async def test_part_has_the_parameters_of_its_own_stream(
    conductor: SimulatedConductor, open_stream: OpenStream, log_path: Path
) -> None:
    append_lines(log_path, "09:00 [error] three", "[info] four")
    errors, last = "log:a?level=error&tail_lines=5", "log:a?tail_lines=1"
    said = "events:a?limit=2&event=job."
    async with open_stream(combined("roster?details=true", said, errors, last)) as viewer:
        for part in ("roster?details=true", said, errors, last):
            await wait_until(lambda part=part: events_of(viewer, part))  # type: ignore[misc]
        for number in range(3):
            conductor.emit("a", "sheet.said", {"number": number})
            conductor.emit("a", "job.said", {"number": number})
        await viewer.wait_for("job.said", 3)
        append_lines(log_path, "[debug] five", "[critical] six")
        await wait_until(lambda: "[critical] six" in lines_of(viewer, errors))
        await wait_until(lambda: "[critical] six" in lines_of(viewer, last))
        assert lines_of(viewer, errors) == ["09:00 [error] three", "[critical] six"]
        assert lines_of(viewer, last) == ["[info] four", "[debug] five", "[critical] six"]
        assert {name for name, _ in events_of(viewer, said)} == {"source", "job.said"}
    async with open_stream(combined(said)) as viewer:
        await viewer.wait_for("job.said", 2)
        assert [data["data"]["number"] for data in viewer.event_data("job.said")] == [1, 2]


async def test_log_without_lines_gives_a_cursor_for_its_part(
    open_stream: OpenStream, log_path: Path
) -> None:
    log_path.write_text("")
    parts = ("log:a", "status:a")
    async with open_stream(combined(*parts)) as viewer:
        # The part has begun, and has a position.
        await viewer.wait_for("part_start", 2)
        assert viewer.event_data("part_start") == [{"part": "log:a", "job_id": "a"}] * 2
        await viewer.wait_for("job_sheets")
        cursor = last_id(viewer, "log:a")
    append_lines(log_path, *map(str, range(150)))
    async with open_stream(combined(*parts, c=cursor)) as viewer:
        await viewer.wait_for("log", 150)
        assert [data["line"] for data in viewer.event_data("log")] == [*map(str, range(150))]


async def test_end_or_error_of_a_part_ends_that_part_only(
    conductor: SimulatedConductor, open_stream: OpenStream, log_path: Path
) -> None:
    del log_path
    async with open_stream(combined("status:a", "status:b", "status:none", "log:none")) as viewer:
        await viewer.wait_for("part_error", 2)
        errors = {data["part"]: data["code"] for data in viewer.event_data("part_error")}
        assert errors == {"status:none": "job_not_found", "log:none": "job_not_found"}
        assert {data["status"] for data in viewer.event_data("part_error")} == {404}
        assert {data["job_id"] for data in viewer.event_data("part_error")} == {"none"}
        conductor.complete_sheet("a", 1)
        conductor.complete_sheet("a", 2)
        conductor.finish("a")
        await viewer.wait_for("job_finished")
        conductor.complete_sheet("b", 1)
        await wait_until(lambda: completed_sheets(viewer, "status:b") == 1)
        assert not viewer.has_ended
        conductor.finish("b")
        await viewer.wait_for("job_finished", 2)
        await viewer.wait_ended()


async def test_restricted_token_gets_its_own_jobs_only(
    conductor: SimulatedConductor, start: Start
) -> None:
    conductor.launch("nightly-1", 1)
    conductor.launch("secret", 1)
    client = await start()
    parts = ("roster", "status:nightly-1", "status:secret", "events:secret", "log:secret")
    url = str(client.make_url(combined(*parts)))
    async with open_viewer(client.session, url, headers=NARROWED) as viewer:
        await viewer.wait_for("job_sheets")
        await viewer.wait_for("roster")
        await viewer.wait_for("part_error", 3)
        assert {data["part"] for data in viewer.event_data("part_error")} == set(parts[2:])
        (roster,) = viewer.event_data("roster")
        assert [job["job_id"] for job in roster["jobs"]] == ["nightly-1"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "part=",
        "part=rooster",
        "part=status",
        "part=job:a",
        "part=roster:a",
        "part=log:a&cursor=x",
        "part=log:a&cursor=status:a,s-1",
        "part=log:a&cursor=0,s-1",
        "part=log:a&cursor=2,s-1",
        "&".join(f"part=log:{number}" for number in range(33)),
    ],
)
async def test_request_that_names_no_valid_parts_is_rejected(client: Client, query: str) -> None:
    async with client.get(f"/api/stream?{query}") as response:
        assert response.status == 400
        assert (await response.json())["code"] in ("bad_parameter", "bad_request")


async def test_refused_cursor_says_that_a_part_has_a_name_and_a_number(client: Client) -> None:
    async with client.get("/api/stream?part=log:a&cursor=2,s-1") as response:
        detail = (await response.json())["detail"]
    assert detail == "cursor must be PART,ID with the name or number of a part, got '2,s-1'"


@pytest.mark.parametrize(
    "invalid",
    [
        *("status:", "log:a%2Fb", "events:%00"),
        *("roster?details=maybe", "log:a?level=loud", "log:a?regex=%28", "events:a?limit=1000"),
        *("log:a?regex=(.{1000}){1000}", f"log:{'a' * 4000}"),
    ],
)
async def test_invalid_part_is_an_error_of_that_part(
    conductor: SimulatedConductor, open_stream: OpenStream, invalid: str
) -> None:
    conductor.launch("a", 1)
    async with open_stream(combined("status:a", invalid)) as viewer:
        await viewer.wait_for("job_sheets")
        error = await viewer.wait_for("part_error")
        assert (error["part"], error["status"]) == (invalid, 400)
        assert not viewer.has_ended


async def test_job_id_is_percent_encoded(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a%2Fb, c", 1)
    async with open_stream(combined("status:a%252Fb%2C%20c")) as viewer:
        data = await viewer.wait_for("job_status")
        assert (data["job_id"], data["part"]) == ("a%2Fb, c", "status:a%252Fb%2C%20c")
