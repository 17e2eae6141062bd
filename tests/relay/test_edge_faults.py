"""What goes wrong between an edge and Redis, and what its viewers see of it."""

from pathlib import Path

from marianne_stream.demo.conductor import SimulatedConductor
from tests.relay.conftest import append, told
from tests.support.edges import edge, origin
from tests.support.redis import RedisServer
from tests.support.rights import edge_rights
from tests.support.viewers import Viewer
from tests.support.waiting import until


def source_is(viewer: Viewer, name: str, *, live: bool) -> bool:
    newest = (viewer.data("source") or [{}])[-1]
    return (newest.get("source"), newest.get("live")) == (name, live)


async def test_streams_stay_while_redis_is_away_and_go_on_when_it_has_lost_its_data(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log: Path
) -> None:
    append(log, *(f"line {number}" for number in range(1, 21)))
    async with origin(tmp_path, redis) as first, edge(redis) as second:
        await second.follows("lantern")
        async with (
            second.watch("/api/jobs/lantern/stream") as status,
            second.watch("/api/roster/stream") as roster,
            second.watch("/api/events/stream") as events,
            second.watch("/api/jobs/lantern/logs") as lines,
            first.watch("/api/events/stream") as events_there,
        ):
            await lines.saw("log", 20)
            conductor.emit("lantern", "job.said", {"number": 1})
            await events.saw("job.said")
            await redis.kill()
            await until(lambda: source_is(status, "none", live=False))
            await until(lambda: source_is(events, "none", live=False))
            await until(lambda: source_is(roster, "none", live=False))
            conductor.emit("lantern", "job.said", {"number": 2})
            conductor.dispatch("lantern", 1)
            append(log, *(f"line {number}" for number in range(21, 31)))
            await redis.start()
            await status.saw_status(current_sheet=1, limit_s=30)
            await until(lambda: source_is(status, "redis", live=True))
            await until(lambda: source_is(roster, "redis", live=True))
            await until(lambda: source_is(events, "redis", live=True))
            await lines.saw("log", 30, limit_s=30)
            conductor.emit("lantern", "job.said", {"number": 3})
            await until(lambda: events.last_event_id == events_there.last_event_id)
            assert told(events) == told(events_there)
            numbers = [int(data["line"].split()[1]) for data in lines.data("log")]
            assert numbers == list(range(1, 31))
            assert lines.counts["log_gap"] == 0
            assert not any(viewer.ended for viewer in (status, roster, events, lines))


async def test_another_origin_process_after_the_loss_of_all_data_repeats_no_line(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log: Path
) -> None:
    append(log, *(f"line {number}" for number in range(1, 21)))
    async with edge(redis) as second:
        async with origin(tmp_path, redis):
            await second.follows("lantern")
            # One who is there all the time, and one who comes back.
            async with second.watch("/api/jobs/lantern/logs") as early:
                await early.saw("log", 20)
        async with second.watch(
            "/api/jobs/lantern/logs", last_event_id=early.last_event_id
        ) as stays:
            await redis.kill()
            append(log, *(f"line {number}" for number in range(21, 31)))
            await redis.start()
            async with origin(tmp_path, redis):
                await stays.saw("log", 10, limit_s=30)
                async with second.watch(
                    "/api/jobs/lantern/logs", last_event_id=early.last_event_id
                ) as back:
                    await back.saw("log", 10)
                append(log, "line 31")
                await stays.saw("log", 11)
                for viewer in (stays, back):
                    lines = [data["line"] for data in viewer.data("log")]
                    assert lines[:10] == [f"line {number}" for number in range(21, 31)]
                    assert viewer.counts["log_gap"] == 0


async def test_viewers_are_told_when_the_origin_goes_and_comes(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    conductor.launch("lantern", 2)
    async with edge(redis) as second:
        async with origin(tmp_path, redis):
            await second.follows("lantern")
            async with second.watch("/api/events/stream") as before:
                conductor.emit("lantern", "job.said", {"number": 1})
                await before.saw("job.said")
        async with (
            second.watch("/api/jobs/lantern/stream") as status,
            second.watch("/api/events/stream", last_event_id=before.last_event_id) as events,
        ):
            await until(lambda: source_is(status, "redis", live=False))
            await until(lambda: source_is(events, "none", live=False))
            async with origin(tmp_path, redis):
                await until(lambda: source_is(status, "redis", live=True))
                await until(lambda: source_is(events, "redis", live=True))
                conductor.emit("lantern", "job.said", {"number": 2})
                await events.saw("job.said")
                # Another process numbers the events: some may be missing between.
                assert [name for name, _ in told(events)] == ["gap", "job.said"]


async def test_who_comes_while_redis_is_away_is_asked_to_come_back(redis: RedisServer) -> None:
    await redis.kill()
    async with edge(redis, sources=("oak",)) as second:
        assert (await second.get("/api/jobs"))[0] == 503
        assert (await second.get("/ready"))[0] == 503
        assert (await second.get("/health"))[0] == 200
        assert (await second.get("/api/events/stream"))[0] == 503


async def test_an_edge_needs_no_more_rights_than_the_guide_gives_it(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log: Path
) -> None:
    await redis.call("ACL", "SETUSER", *edge_rights())
    append(log, "one")
    url = redis.url.replace("//", "//edge:secret@")
    async with origin(tmp_path, redis), edge(redis, url=url) as second:
        await second.follows("lantern")
        async with (
            second.watch("/api/jobs/lantern/stream") as status,
            second.watch("/api/events/stream") as events,
            second.watch("/api/jobs/lantern/logs") as lines,
        ):
            await lines.saw("log")
            conductor.emit("lantern", "job.said")
            conductor.dispatch("lantern", 1)
            await events.saw("job.said")
            await status.saw_status(current_sheet=1)
        async with second.watch(
            "/api/jobs/lantern/logs", last_event_id=lines.last_event_id
        ) as back:
            append(log, "two")
            await back.saw("log")
    assert await redis.call("ACL", "LOG") == []
