"""Promotion of a replica that lacks the newest entries of a log.

Viewers get each line once, or a gap, and the log continues. One server plays both: its data of the
log is restored to an earlier dump, and all connections are closed.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.relay.publish.log_publisher import TAIL_LINES
from marianne_stream.relay.schema import LogEntryId, SourceKeys
from tests.relay.conftest import JOB, append_lines
from tests.support.redis_server import RedisServer
from tests.support.relay_servers import RelayServer, run_edge, run_origin
from tests.support.viewers import Viewer
from tests.support.waiting import wait_for_value, wait_until

KEYS = SourceKeys("marianne-stream", "oak")

LOG = f"/api/jobs/{JOB}/logs"

LIMIT_S = 30.0

PAUSE_MS = 60_000


class Replica:
    """Data of a log on a lagging replica, which is promoted later."""

    def __init__(self, redis: RedisServer, held: bytes) -> None:
        self._redis = redis
        self._held = held

    @classmethod
    async def of(cls, redis: RedisServer) -> "Replica":
        """Return a replica that receives nothing from now on."""
        return cls(redis, await redis.call("DUMP", KEYS.log(JOB)))

    @asynccontextmanager
    async def taking_over(self) -> AsyncIterator[None]:
        """Promote the replica; the body of the context runs before anything is written there.

        The clock is past all generations by then, so a new generation differs from the lost one.
        """
        places = [place for place, _ in await self._redis.read_stream(KEYS.log(JOB))]
        generation = max((LogEntryId.parse(place).generation for place in places), default=0)
        await wait_for_value(
            lambda: self._redis.call("TIME"), lambda time: int(time[0]) > generation + 1
        )
        await wait_for_blocked_read(self._redis)
        async with self._redis.client.pipeline(transaction=True) as pipe:
            pipe.restore(KEYS.log(JOB), 0, self._held, replace=True)
            pipe.execute_command("CLIENT", "KILL", "TYPE", "normal")
            pipe.execute_command("CLIENT", "PAUSE", PAUSE_MS, "WRITE")
            await pipe.execute()
        yield
        await self._redis.call("CLIENT", "UNPAUSE")


async def wait_for_blocked_read(redis: RedisServer) -> None:
    """Wait until a read blocks: between two reads, a client does not notice a disconnect."""
    await wait_for_value(
        lambda: redis.client.info("clients"), lambda found: found["blocked_clients"]
    )


def rotate(log: Path, number: int = 1) -> None:
    log.rename(log.with_name(f"{log.name}.{number}"))


def lines_and_marks(viewer: Viewer) -> list[str]:
    """Return the lines that a viewer got, and the marks in brackets."""
    names = ("log", "log_rotated", "log_gap", "log_complete")
    events = [event for event in viewer.events if event.event in names]
    data = viewer.event_data(*names)
    return [
        told["line"] if event.event == "log" else f"[{event.event}]"
        for event, told in zip(events, data, strict=True)
    ]


@asynccontextmanager
async def open_viewer_with(second: RelayServer, *lines: str) -> AsyncIterator[Viewer]:
    """Open a viewer on an edge, and wait until it has these lines."""
    await second.wait_live(JOB)
    async with second.open_viewer(LOG) as viewer:
        await viewer.wait_for("log", len(lines))
        assert lines_and_marks(viewer) == list(lines)
        yield viewer


async def test_lines_missing_on_promoted_replica_are_shown_once(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "a1", "a2")
    async with (
        run_origin(tmp_path, redis),
        run_edge(redis) as second,
        open_viewer_with(second, "a1", "a2") as viewer,
    ):
        replica = await Replica.of(redis)
        append_lines(log_path, "a3", "a4")
        await viewer.wait_for("log", 4)
        async with replica.taking_over():
            append_lines(log_path, "a5")
        await viewer.wait_for("log", 5, timeout_s=LIMIT_S)
        assert lines_and_marks(viewer) == ["a1", "a2", "a3", "a4", "a5"]


async def test_rotation_missing_on_promoted_replica_is_shown_once(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "a1", "a2")
    async with (
        run_origin(tmp_path, redis),
        run_edge(redis) as second,
        open_viewer_with(second, "a1", "a2") as viewer,
    ):
        replica = await Replica.of(redis)
        rotate(log_path)
        append_lines(log_path, "b1", "b2")
        await viewer.wait_for("log", 4)
        async with replica.taking_over():
            append_lines(log_path, "b3")
        wanted = ["a1", "a2", "[log_rotated]", "b1", "b2", "b3"]
        await viewer.wait_for("log", 5, timeout_s=LIMIT_S)
        assert lines_and_marks(viewer) == wanted
        async with second.open_viewer(LOG) as new:
            await new.wait_for("log", 5)
            assert lines_and_marks(new) == wanted


async def test_two_rotations_missing_on_promoted_replica_are_shown_once_or_a_gap(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "a1", "a2")
    async with (
        run_origin(tmp_path, redis),
        run_edge(redis) as second,
        open_viewer_with(second, "a1", "a2") as viewer,
    ):
        replica = await Replica.of(redis)
        rotate(log_path, 2)
        append_lines(log_path, "b1")
        await viewer.wait_for("log", 3)
        rotate(log_path, 1)
        append_lines(log_path, "c1")
        await viewer.wait_for("log", 4)
        async with replica.taking_over():
            append_lines(log_path, "c2")
        await wait_until(lambda: "c2" in lines_and_marks(viewer), timeout_s=LIMIT_S)
        append_lines(log_path, "c3")
        await wait_until(lambda: "c3" in lines_and_marks(viewer))
        before = ["a1", "a2", "[log_rotated]", "b1", "[log_rotated]", "c1"]
        assert lines_and_marks(viewer)[:6] == before
        rest = lines_and_marks(viewer)[6:]
        # If the edge reads the first rotation before the last one is there, it does not find its
        # position. Behind the gap, republished lines come twice.
        assert rest == ["c2", "c3"] or (rest[0], rest[-2:]) == ("[log_gap]", ["c2", "c3"])
        assert not viewer.has_ended


async def test_new_origin_process_after_promotion_repeats_no_line_over_a_rotation(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "a1", "a2")
    async with run_edge(redis) as second:
        async with run_origin(tmp_path, redis), open_viewer_with(second, "a1", "a2") as early:
            replica = await Replica.of(redis)
            rotate(log_path)
            append_lines(log_path, "b1", "b2")
            await early.wait_for("log", 4)
        async with second.open_viewer(LOG, last_event_id=early.last_event_id) as viewer:
            async with replica.taking_over():
                append_lines(log_path, "b3")
            async with run_origin(tmp_path, redis):
                await viewer.wait_for("log", timeout_s=LIMIT_S)
                assert lines_and_marks(viewer) == ["b3"]


async def test_viewer_before_republication_sees_all_lines(
    tmp_path: Path,
    redis: RedisServer,
    conductor: SimulatedConductor,
    log_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    append_lines(log_path, "a1", "a2")
    async with run_edge(redis) as second:
        async with run_origin(tmp_path, redis), open_viewer_with(second, "a1", "a2") as early:
            replica = await Replica.of(redis)
            rotate(log_path)
            append_lines(log_path, "b1", "b2")
            await early.wait_for("log", 4)
        async with second.open_viewer(LOG, last_event_id=early.last_event_id) as viewer:
            async with replica.taking_over():
                append_lines(log_path, "b3")
            await wait_until(lambda: "source readable again" in caplog.text)
            async with second.open_viewer(LOG) as new:
                await new.wait_for("log", 2)
                async with run_origin(tmp_path, redis):
                    await new.wait_for("log", 5, timeout_s=LIMIT_S)
                    assert lines_and_marks(new) == ["a1", "a2", "[log_rotated]", "b1", "b2", "b3"]
                    await viewer.wait_for("log", 1)
                    assert lines_and_marks(viewer) == ["b3"]


async def test_gap_after_promotion_is_shown_once(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "a1", "a2")
    async with (
        run_origin(tmp_path, redis),
        run_edge(redis) as second,
        open_viewer_with(second, "a1", "a2") as viewer,
    ):
        replica = await Replica.of(redis)
        rotate(log_path)
        append_lines(log_path, "b1", "b2")
        await viewer.wait_for("log", 4)
        async with replica.taking_over():
            append_lines(log_path, "b3")
            log_path.with_name("marianne.log.1").unlink()
            log_path.unlink()
            append_lines(log_path, "c1", "c2")
        await viewer.wait_for("log", 6, timeout_s=LIMIT_S)
        append_lines(log_path, "c3")
        await viewer.wait_for("log", 7)
        wanted = ["a1", "a2", "[log_rotated]", "b1", "b2", "[log_gap]", "c1", "c2", "c3"]
        assert lines_and_marks(viewer) == wanted


async def test_lines_not_republished_are_one_gap(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "a1", "a2")
    async with run_edge(redis) as second:
        async with run_origin(tmp_path, redis), open_viewer_with(second, "a1", "a2") as early:
            pass
        async with second.open_viewer(LOG, last_event_id=early.last_event_id) as viewer:
            await wait_for_blocked_read(redis)
            await redis.call("DEL", KEYS.log(JOB))
            await redis.call("CLIENT", "KILL", "TYPE", "normal")
            later = [f"b{number}" for number in range(TAIL_LINES + 100)]
            append_lines(log_path, *later)
            async with run_origin(tmp_path, redis):
                await viewer.wait_for("log", TAIL_LINES, timeout_s=LIMIT_S)
                append_lines(log_path, "last")
                await viewer.wait_for("log", TAIL_LINES + 1)
                assert lines_and_marks(viewer) == ["[log_gap]", *later[100:], "last"]


async def test_position_restored_after_second_disconnect_is_no_gap(
    tmp_path: Path,
    redis: RedisServer,
    conductor: SimulatedConductor,
    log_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    append_lines(log_path, "a1", "a2")
    async with run_edge(redis) as second:
        async with run_origin(tmp_path, redis), open_viewer_with(second, "a1", "a2") as early:
            replica = await Replica.of(redis)
        async with second.open_viewer(LOG, last_event_id=early.last_event_id) as viewer:
            await wait_for_blocked_read(redis)
            async with redis.client.pipeline(transaction=True) as pipe:
                pipe.delete(KEYS.log(JOB))
                pipe.execute_command("CLIENT", "KILL", "TYPE", "normal")
                await pipe.execute()
            await wait_until(lambda: caplog.text.count("source readable again") == 1)
            async with replica.taking_over():
                append_lines(log_path, "a3")
            await wait_until(lambda: caplog.text.count("source readable again") == 2)
            async with run_origin(tmp_path, redis):
                await viewer.wait_for("log", timeout_s=LIMIT_S)
                assert lines_and_marks(viewer) == ["a3"]


async def test_log_rewritten_with_the_same_first_line_is_shown_after_a_gap(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "head", "a2", "a3", "a4")
    async with (
        run_origin(tmp_path, redis),
        run_edge(redis) as second,
        open_viewer_with(second, "head", "a2", "a3", "a4") as viewer,
    ):
        replica = await Replica.of(redis)
        append_lines(log_path, "a5")
        await viewer.wait_for("log", 5)
        async with replica.taking_over():
            log_path.write_text("head\nn2\n")
        await viewer.wait_for("log", 7, timeout_s=LIMIT_S)
        async with second.open_viewer(LOG) as late:
            await wait_until(lambda: "n2" in lines_and_marks(late))
            append_lines(log_path, "n3")
            await wait_until(lambda: "n3" in lines_and_marks(late))
            await viewer.wait_for("log", 8)
        assert lines_and_marks(viewer)[:5] == ["head", "a2", "a3", "a4", "a5"]
        assert [each for each in lines_and_marks(viewer)[5:] if each[0] != "["] == [
            "head",
            "n2",
            "n3",
        ]
        assert viewer.event_counts["log_gap"] == 1
        assert lines_and_marks(late)[-1] == "n3"
