"""Viewers that change between an origin and its edges, and resume by their cursors."""

from contextlib import AsyncExitStack
from pathlib import Path

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.relay.conftest import append_lines
from tests.support.redis_server import RedisServer
from tests.support.relay_servers import RelayServer, run_edge, run_origin
from tests.support.viewers import Viewer
from tests.support.waiting import wait_until

VIEWERS = 50
ROUNDS = 20


async def test_status_cursor_is_valid_on_origin_and_edges(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    conductor.launch("lantern", 2)
    async with (
        run_origin(tmp_path, redis) as first,
        run_edge(redis) as second,
        run_edge(redis) as third,
    ):
        for site in (second, third):
            await site.wait_live("lantern")
        # An edge learns a job's details beyond the roster when the job is watched.
        for path, name, sites in (
            ("/api/jobs/lantern/stream", "job_status", (first, second, third, first)),
            ("/api/roster/stream", "roster", (second, third, second)),
        ):
            cursor = ""
            for site in sites:
                async with site.open_viewer(path, last_event_id=cursor) as viewer:
                    await viewer.wait_for("source")
                    if not cursor:
                        await viewer.wait_for(name)
                        await wait_for_cursor(viewer)
                    assert viewer.event_counts[name] == (not cursor)
                    cursor = viewer.last_event_id


async def wait_for_cursor(*viewers: Viewer) -> None:
    await wait_until(lambda: all(viewer.last_event_id for viewer in viewers))


async def wait_for_round(number: int, timeline: Viewer, log: Viewer) -> None:
    await wait_until(lambda: number in event_numbers(timeline))
    await wait_until(lambda: f'"line {number + 1}"'.encode() in log.raw)


async def test_viewer_that_changes_servers_gets_events_and_lines_once(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "line 0")
    async with (
        run_origin(tmp_path, redis) as first,
        run_edge(redis) as second,
        run_edge(redis) as third,
    ):
        for site in (second, third):
            await site.wait_live("lantern")
        sites = (first, second, third, second, first, third) * 2
        events, lines = "", ""
        numbers: list[int] = []
        told: list[int] = []
        for round_number, site in enumerate(sites):
            async with (
                site.open_viewer("/api/events/stream", last_event_id=events) as timeline,
                site.open_viewer("/api/jobs/lantern/logs", last_event_id=lines) as viewer,
            ):
                await timeline.wait_for("source")
                await wait_for_cursor(viewer)
                conductor.emit("lantern", "job.said", {"number": round_number})
                append_lines(log_path, f"line {round_number + 1}")
                await wait_for_round(round_number, timeline, viewer)
                assert timeline.event_counts["gap"] == viewer.event_counts["log_gap"] == 0
                told += event_numbers(timeline)
                numbers += [int(data["line"].split()[1]) for data in viewer.event_data("log")]
                events, lines = timeline.last_event_id, viewer.last_event_id
            # Without viewers.
            conductor.emit("lantern", "job.said", {"number": 100 + round_number})
        assert numbers == list(range(len(sites) + 1))
        expected = [n for at in range(len(sites)) for n in (at, 100 + at)][:-1]
        assert told == expected


def event_numbers(viewer: Viewer) -> list[int]:
    return [data["data"]["number"] for data in viewer.event_data("job.said")]


async def test_viewers_of_the_same_log_share_reads_of_redis(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "line 0")
    async with run_origin(tmp_path, redis), run_edge(redis) as second:
        await second.wait_live("lantern")
        alone = await count_reads(redis, conductor, second, log_path, 1)
        together = await count_reads(redis, conductor, second, log_path, VIEWERS)
        assert together <= alone + ROUNDS


async def count_reads(
    redis: RedisServer, conductor: SimulatedConductor, site: RelayServer, log: Path, viewers: int
) -> int:
    """Return the number of reads for some changes and a number of viewers."""
    paths = ("/api/jobs/lantern/logs", "/api/events/stream", "/api/roster/stream")
    async with AsyncExitStack() as stack:
        watching = [
            [await stack.enter_async_context(site.open_viewer(path)) for path in paths]
            for _ in range(viewers)
        ]
        await wait_for_cursor(*(viewer for three in watching for viewer in three))
        before = await read_count(redis)
        for number in range(ROUNDS):
            append_lines(log, f"line {viewers} {number}")
            conductor.emit("lantern", "job.said", {"number": number})
            await wait_for_text(
                f"line {viewers} {number}".encode(), [logs for logs, _, _ in watching]
            )
        await wait_until(lambda: all(e.event_counts["job.said"] >= ROUNDS for _, e, _ in watching))
        return await read_count(redis) - before


async def wait_for_text(text: bytes, viewers: list[Viewer]) -> None:
    await wait_until(lambda: all(text in viewer.raw for viewer in viewers))


async def read_count(redis: RedisServer) -> int:
    """Return the number of commands by which an edge reads for its viewers."""
    stats = await redis.client.info("commandstats")
    names = ("xread", "xrange", "xrevrange", "hget", "hgetall")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)
