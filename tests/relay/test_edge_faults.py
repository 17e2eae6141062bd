"""Faults between an edge and Redis, as viewers see them."""

from pathlib import Path

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.relay.conftest import append_lines, events_with_ids
from tests.support.redis_acl import edge_acl
from tests.support.redis_server import RedisServer
from tests.support.relay_servers import run_edge, run_origin
from tests.support.viewers import Viewer
from tests.support.waiting import wait_until


def has_source_event(viewer: Viewer, name: str, *, live: bool) -> bool:
    newest = (viewer.event_data("source") or [{}])[-1]
    return (newest.get("source"), newest.get("live")) == (name, live)


async def test_streams_continue_after_redis_has_lost_its_data(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, *(f"line {number}" for number in range(1, 21)))
    async with run_origin(tmp_path, redis) as first, run_edge(redis) as second:
        await second.wait_live("lantern")
        async with (
            second.open_viewer("/api/jobs/lantern/stream") as status,
            second.open_viewer("/api/roster/stream") as roster,
            second.open_viewer("/api/events/stream") as events,
            second.open_viewer("/api/jobs/lantern/logs") as lines,
            first.open_viewer("/api/events/stream") as events_there,
        ):
            await lines.wait_for("log", 20)
            conductor.emit("lantern", "job.said", {"number": 1})
            await events.wait_for("job.said")
            await redis.kill()
            await wait_until(lambda: has_source_event(status, "none", live=False))
            await wait_until(lambda: has_source_event(events, "none", live=False))
            await wait_until(lambda: has_source_event(roster, "none", live=False))
            conductor.emit("lantern", "job.said", {"number": 2})
            conductor.dispatch("lantern", 1)
            append_lines(log_path, *(f"line {number}" for number in range(21, 31)))
            await redis.start()
            await status.wait_for_status(current_sheet=1, timeout_s=30)
            await wait_until(lambda: has_source_event(status, "redis", live=True))
            await wait_until(lambda: has_source_event(roster, "redis", live=True))
            await wait_until(lambda: has_source_event(events, "redis", live=True))
            await lines.wait_for("log", 30, timeout_s=30)
            conductor.emit("lantern", "job.said", {"number": 3})
            await wait_until(lambda: events.last_event_id == events_there.last_event_id)
            assert events_with_ids(events) == events_with_ids(events_there)
            numbers = [int(data["line"].split()[1]) for data in lines.event_data("log")]
            assert numbers == list(range(1, 31))
            assert lines.event_counts["log_gap"] == 0
            assert not any(viewer.has_ended for viewer in (status, roster, events, lines))


async def test_new_origin_process_after_data_loss_repeats_no_line(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, *(f"line {number}" for number in range(1, 21)))
    async with run_edge(redis) as second:
        async with run_origin(tmp_path, redis):
            await second.wait_live("lantern")
            # One viewer stays connected, the other one reconnects.
            async with second.open_viewer("/api/jobs/lantern/logs") as early:
                await early.wait_for("log", 20)
        async with second.open_viewer(
            "/api/jobs/lantern/logs", last_event_id=early.last_event_id
        ) as stays:
            await redis.kill()
            append_lines(log_path, *(f"line {number}" for number in range(21, 31)))
            await redis.start()
            async with run_origin(tmp_path, redis):
                await stays.wait_for("log", 10, timeout_s=30)
                async with second.open_viewer(
                    "/api/jobs/lantern/logs", last_event_id=early.last_event_id
                ) as back:
                    await back.wait_for("log", 10)
                append_lines(log_path, "line 31")
                await stays.wait_for("log", 11)
                for viewer in (stays, back):
                    lines = [data["line"] for data in viewer.event_data("log")]
                    assert lines[:10] == [f"line {number}" for number in range(21, 31)]
                    assert viewer.event_counts["log_gap"] == 0


async def test_viewers_see_the_origin_stop_and_return(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    conductor.launch("lantern", 2)
    async with run_edge(redis) as second:
        async with run_origin(tmp_path, redis):
            await second.wait_live("lantern")
            async with second.open_viewer("/api/events/stream") as before:
                conductor.emit("lantern", "job.said", {"number": 1})
                await before.wait_for("job.said")
        async with (
            second.open_viewer("/api/jobs/lantern/stream") as status,
            second.open_viewer("/api/events/stream", last_event_id=before.last_event_id) as events,
        ):
            await wait_until(lambda: has_source_event(status, "redis", live=False))
            await wait_until(lambda: has_source_event(events, "none", live=False))
            async with run_origin(tmp_path, redis):
                await wait_until(lambda: has_source_event(status, "redis", live=True))
                await wait_until(lambda: has_source_event(events, "redis", live=True))
                conductor.emit("lantern", "job.said", {"number": 2})
                await events.wait_for("job.said")
                # A new process numbers the events: some may be missing in between.
                assert [name for name, _ in events_with_ids(events)] == ["gap", "job.said"]


async def test_viewer_during_redis_outage_gets_503(redis: RedisServer) -> None:
    await redis.kill()
    async with run_edge(redis, sources=("oak",)) as second:
        assert (await second.get("/api/jobs"))[0] == 503
        assert (await second.get("/ready"))[0] == 503
        assert (await second.get("/health"))[0] == 200
        assert (await second.get("/api/events/stream"))[0] == 503


async def test_documented_acl_user_suffices_for_edge(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    await redis.call("ACL", "SETUSER", *edge_acl())
    append_lines(log_path, "one")
    url = redis.url.replace("//", "//edge:secret@")
    async with run_origin(tmp_path, redis), run_edge(redis, url=url) as second:
        await second.wait_live("lantern")
        async with (
            second.open_viewer("/api/jobs/lantern/stream") as status,
            second.open_viewer("/api/events/stream") as events,
            second.open_viewer("/api/jobs/lantern/logs") as lines,
        ):
            await lines.wait_for("log")
            conductor.emit("lantern", "job.said")
            conductor.dispatch("lantern", 1)
            await events.wait_for("job.said")
            await status.wait_for_status(current_sheet=1)
        async with second.open_viewer(
            "/api/jobs/lantern/logs", last_event_id=lines.last_event_id
        ) as back:
            append_lines(log_path, "two")
            await back.wait_for("log")
    assert await redis.call("ACL", "LOG") == []
