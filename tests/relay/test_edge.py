"""An edge serves what an origin publishes, as the origin itself does."""

from pathlib import Path
from typing import Any

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.relay.conftest import append_lines
from tests.support.combined_streams import combined, events_of, last_id, lines_of
from tests.support.redis_server import RedisServer
from tests.support.relay_servers import run_edge, run_origin
from tests.support.viewers import Viewer
from tests.support.waiting import wait_for_value, wait_until


async def test_jobs_on_edge_equal_those_on_origin(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    conductor.launch("lantern", 2)
    conductor.launch("harbour", 3)
    async with run_origin(tmp_path, redis) as first, run_edge(redis) as second:
        await second.wait_live("lantern", "harbour")
        for path in ("/api/jobs/harbour", "/api/jobs/lantern", "/api/jobs/lantern/status"):

            async def read(path: str = path) -> tuple[dict[str, Any], dict[str, Any]]:
                (_, here), (_, there) = await second.get(path), await first.get(path)
                # Paths never leave the host.
                assert there.pop("workspace")
                return {**here, "source": ""}, {**there, "source": ""}

            # The origin may answer a busy edge late: its job is not live for a moment.
            await wait_for_value(read, lambda both: both[0] == both[1])


async def test_job_status_on_edge_is_sent_up_to_its_end(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    conductor.launch("lantern", 2)
    async with run_origin(tmp_path, redis), run_edge(redis) as second:
        await second.wait_live("lantern")
        async with second.open_viewer("/api/jobs/lantern/stream") as viewer:
            source = await viewer.wait_for("source")
            assert (source["source"], source["live"]) == ("redis", True)
            conductor.dispatch("lantern", 1)
            await viewer.wait_for_status(current_sheet=1)
            conductor.finish("lantern", "completed")
            await viewer.wait_for("job_finished")
            await viewer.wait_ended()


async def test_events_on_edge_have_the_ids_of_the_origin(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    conductor.launch("lantern", 2)
    async with (
        run_origin(tmp_path, redis) as first,
        run_edge(redis) as second,
        run_edge(redis) as third,
    ):
        await second.wait_live("lantern")
        async with (
            first.open_viewer("/api/events/stream") as there,
            second.open_viewer("/api/events/stream") as here,
        ):
            for number in range(1, 6):
                conductor.emit("lantern", "sheet.note", {"number": number})
            await wait_until(lambda: there.event_counts["sheet.note"] == 5)
            await wait_until(lambda: here.last_event_id == there.last_event_id)
            told = [event for event in there.events if event.event not in ("source", "heartbeat")]
            assert [e for e in here.events if e.event not in ("source", "heartbeat")] == told
            async with third.open_viewer(
                "/api/events/stream", last_event_id=told[0].event_id
            ) as later:
                await wait_until(lambda: later.last_event_id == there.last_event_id)
                assert [e for e in later.events if e.event != "source"] == told[1:]


async def test_log_on_edge_equals_that_on_origin(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    (workspace := tmp_path / "ws").mkdir()
    log = workspace / "marianne.log"
    log.write_text("".join(f"line {number}\n" for number in range(1, 301)))
    conductor.launch("lantern", 2, workspace=str(workspace))
    async with (
        run_origin(tmp_path, redis) as first,
        run_edge(redis) as second,
    ):
        await second.wait_live("lantern")
        async with (
            first.open_viewer("/api/jobs/lantern/logs") as there,
            second.open_viewer("/api/jobs/lantern/logs") as here,
        ):
            await here.wait_for("log", 100)
            with log.open("a") as file:
                file.write("more\n")
            await there.wait_for("log", 101)
            await here.wait_for("log", 101)
            assert [e.event_id for e in here.events] == [e.event_id for e in there.events]
            assert [d["line"] for d in here.event_data("log")] == [
                d["line"] for d in there.event_data("log")
            ]
            assert [d["initial"] for d in here.event_data("log")] == [
                d["initial"] for d in there.event_data("log")
            ]
            conductor.finish("lantern", "completed")
            await here.wait_for("log_complete")
            await here.wait_ended()
            assert here.last_event_id.startswith("c-")
            async with second.open_viewer("/api/jobs/lantern/logs", tail_lines="3") as late:
                await late.wait_ended()
                assert late.event_names == ["log", "log", "log", "log_complete"]
            async with first.open_viewer(
                "/api/jobs/lantern/logs", last_event_id=here.events[-3].event_id
            ) as back:
                await back.wait_ended()
                assert back.event_names == ["log", "log_complete"]


async def test_combined_stream_goes_on_between_origin_and_edge(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    parts = ("roster", "status:lantern", "events:lantern", "log:lantern")
    append_lines(log_path, "one", "two")
    async with run_origin(tmp_path, redis) as first, run_edge(redis) as second:
        await second.wait_live("lantern")
        for number, (server, other) in enumerate([(second, first), (first, second)]):
            async with server.open_viewer(combined(*parts, "log:none")) as viewer:
                await viewer.wait_for("part_error")
                for part in parts:
                    await wait_until(
                        lambda part=part, viewer=viewer: last_id(viewer, part)[-1] != ","  # type: ignore[misc]
                    )
                conductor.emit("lantern", f"job.before{number}")
                await viewer.wait_for(f"job.before{number}")
                cursors = {f"c{n}": last_id(viewer, part) for n, part in enumerate(parts)}
            conductor.emit("lantern", f"job.after{number}")
            append_lines(log_path, f"after {number}")
            async with other.open_viewer(combined(*parts, **cursors)) as viewer:
                await wait_until(lambda viewer=viewer: lines_of(viewer, "log:lantern"))  # type: ignore[misc]
                await viewer.wait_for(f"job.after{number}")
                assert lines_of(viewer, "log:lantern") == [f"after {number}"]
                names = [name for name, _ in events_of(viewer, "events:lantern")]
                assert [name for name in names if name != "source"] == [f"job.after{number}"]


async def test_log_filters_on_edge_equal_those_on_origin(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "one [info] begins", "two [error] fails", "three")
    async with run_origin(tmp_path, redis) as first, run_edge(redis) as second:
        await second.wait_live("lantern")
        logs = "/api/jobs/lantern/logs"
        for options in ({"level": "error"}, {"regex": "^t"}, {"contains": "fails", "regex": "w"}):
            last = f"t w fails [error] {options}"
            async with (
                first.open_viewer(logs, **options) as there,
                second.open_viewer(logs, **options) as here,
            ):
                await wait_until(lambda: there.event_counts["log"] and here.event_counts["log"])
                append_lines(log_path, "two fails [error]", "five [info]", last)
                assert await wait_for_last_lines(there, last) == await wait_for_last_lines(
                    here, last
                )
        status, refused = await second.get(logs, params={"regex": ".{500}~|.{501}~"})
        assert (status, refused["code"]) == (400, "pattern_too_complex")


async def wait_for_last_lines(viewer: Viewer, line: str) -> list[tuple[int, str]]:
    """Return a viewer's last two lines as soon as one of them is the expected one."""

    def seen() -> list[tuple[int, str]]:
        return [(data["line_number"], data["line"]) for data in viewer.event_data("log")[-2:]]

    await wait_until(lambda: line in [text for _, text in seen()])
    return seen()
