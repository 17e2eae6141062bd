"""One log with many lines a second through Redis: cost for relay, Redis and edge."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.log_cases import LOG_PATH, write_lines
from benchmarks.processes import (
    MeasuredProcess,
    process_cpu_s,
    run_python,
    run_reader,
    wait_all_read,
)
from benchmarks.relay_cases import SOURCE, run_edge
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.relay.schema import SourceKeys, parse_log_entry
from tests.support.redis_server import RedisServer, run_redis

KEYS = SourceKeys("marianne-stream", SOURCE)
LOG_KEY = KEYS.log("a")

LINES_PER_S, DURATION_S = 50_000, 6

# Writes of these lines a second.
WRITES_PER_S = 100

# Pads a line to nearly 80 bytes, with its mark and newline.
LINE_TEXT = b"[info] sheet 1 says what most of them do, about as much"

# Lines written at once, to measure the throughput.
BURST_LINES = 300_000

# Interval of reading the newest line in Redis, and the time limit for the last one.
POLL_INTERVAL_S = 0.02
TIMEOUT_S = 60.0

MARK_RE = re.compile(rb"<(\d+)@([\d.]+)>")


@dataclass(frozen=True, slots=True)
class PublishedLog:
    """A log and the processes that publish it.

    Attributes:
        redis: the Redis.
        redis_pid: id of its process.
        relay: the publishing server.
        log: path of the log.
    """

    redis: RedisServer
    redis_pid: int
    relay: MeasuredProcess
    log: Path

    def cpu_s(self) -> tuple[float, float]:
        """Return the CPU time of the relay and of Redis."""
        return self.relay.cpu_s(), process_cpu_s(self.redis_pid)

    async def wait_published(self, line_count: int) -> list[float]:
        """Read the newest line until all are there; return the latency of each, in ms."""
        ages: list[float] = []
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                found = await self.redis.call("XREVRANGE", LOG_KEY, "+", "-", "COUNT", "1")
                mark = MARK_RE.search(found[0][1].get(b"l", b"")) if found else None
                if mark is not None:
                    ages.append(1000 * (time.monotonic() - float(mark[2])))
                    if int(mark[1]) == line_count - 1:
                        return ages
                await asyncio.sleep(POLL_INTERVAL_S)

    async def check_stream(self, line_count: int) -> dict[str, float]:
        """Return the stream's length, and its errors after this many lines.

        Redis gives no id twice, and a line's id is its position in the file: if as many lines were
        added as written, each is there once. The remaining entries are checked.
        """
        added = (await self.redis.client.xinfo_stream(LOG_KEY))["entries-added"]
        kept = [parse_log_entry(fields) for _, fields in await self.redis.read_stream(LOG_KEY)]
        marks = [mark for entry in kept if (mark := MARK_RE.search(entry.line))]
        numbers = [int(mark[1]) for mark in marks]
        in_order = numbers == list(range(line_count - len(numbers), line_count))
        # The position of a log without lines is an entry, too.
        faults = abs(added - line_count - 1) + (not in_order)
        size = await self.redis.call("MEMORY", "USAGE", LOG_KEY, "SAMPLES", "0")
        return {"kept": len(kept), "bytes a kept line": size / len(kept), "faults": faults}


@asynccontextmanager
async def run_publisher(folder: Path) -> AsyncIterator[PublishedLog]:
    """Run a job with an empty log and a server that only publishes."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    (workspace := folder / "ws").mkdir()
    (log := workspace / "marianne.log").touch()
    conductor.launch("a", 1, workspace=str(workspace))
    try:
        async with (
            run_redis(folder) as redis,
            run_python(
                *("-m", "marianne_stream", "--port", "none", "--log-level", "error"),
                *("--conductor-socket", folder / "c.sock", "--registry-path", folder / "state.db"),
                *("--data-dir", folder / "private", "--source-name", SOURCE),
                *("--publish-url", redis.url),
            ) as relay,
        ):
            pid = int((await redis.client.info("server"))["process_id"])
            yield PublishedLog(redis, pid, relay, log)
    finally:
        await conductor.kill()


async def relay_lines(folder: Path) -> dict[str, float]:
    """50,000 lines a second for six seconds, without and with an edge, and a burst."""
    found: dict[str, float] = {}
    for name, case in (("alone", without_edge), ("edge", with_edge), ("burst", publish_burst)):
        (place := folder / name).mkdir()
        async with run_publisher(place) as running:
            figures = await case(running)
        found |= {f"{name} {figure}": value for figure, value in figures.items()}
    return found


async def without_edge(running: PublishedLog) -> dict[str, float]:
    """Publish a log without readers: only an edge's interest is simulated."""
    async with keep_interest(running.redis):
        figures = await measure_writes(running)
        return figures | await running.check_stream(LINES_PER_S * DURATION_S)


async def with_edge(running: PublishedLog) -> dict[str, float]:
    """Publish a log that one viewer reads at an edge."""
    async with (
        run_edge(running.redis) as edge,
        run_reader(edge.address, LOG_PATH, 1, timeout_s=60) as seen,
    ):
        cpu_s = edge.cpu_s()
        figures = await measure_writes(running)
        report = await wait_all_read(seen)
        lines = LINES_PER_S * DURATION_S
        return figures | {
            "viewer p50_ms": report["p50_ms"],
            "viewer p99_ms": report["p99_ms"],
            "viewer lost": lines - report["events"] + report["faults"],
            "edge_us a line": 1e6 * (edge.cpu_s() - cpu_s) / lines,
            **await running.check_stream(lines),
        }


async def publish_burst(running: PublishedLog) -> dict[str, float]:
    """Write very many lines at once."""
    async with keep_interest(running.redis):
        before, began = running.cpu_s(), time.monotonic()
        await write_lines(
            running.log,
            duration_s=0.1,
            lines_per_s=10 * BURST_LINES,
            writes_per_s=10,
            text=LINE_TEXT,
        )
        await running.wait_published(BURST_LINES)
        took_s = time.monotonic() - began
        return {
            "lines_s": BURST_LINES / took_s,
            **cpu_per_line(before, running.cpu_s(), BURST_LINES),
            **await running.check_stream(BURST_LINES),
        }


async def measure_writes(running: PublishedLog) -> dict[str, float]:
    """Write lines at a rate and return the cost until the last one is in Redis."""
    lines = LINES_PER_S * DURATION_S
    before, began = running.cpu_s(), time.monotonic()
    looking = asyncio.create_task(running.wait_published(lines))
    await write_lines(
        running.log,
        duration_s=DURATION_S,
        lines_per_s=LINES_PER_S,
        writes_per_s=WRITES_PER_S,
        text=LINE_TEXT,
    )
    written_at = time.monotonic()
    ages = sorted(await looking)
    return {
        "written_s": lines / (written_at - began),
        "lines_s": lines / (time.monotonic() - began),
        "last_ms": 1000 * (time.monotonic() - written_at),
        "in Redis p50_ms": ages[len(ages) // 2],
        "in Redis p99_ms": ages[len(ages) * 99 // 100],
        **cpu_per_line(before, running.cpu_s(), lines),
    }


def cpu_per_line(
    before: tuple[float, float], after: tuple[float, float], line_count: int
) -> dict[str, float]:
    """Return the CPU time of a line."""
    relay_s, redis_s = (late - early for early, late in zip(before, after, strict=True))
    return {
        "relay_us a line": 1e6 * relay_s / line_count,
        "redis_us a line": 1e6 * redis_s / line_count,
    }


@asynccontextmanager
async def keep_interest(redis: RedisServer) -> AsyncIterator[None]:
    """Publish the interest of an edge; starts when the stream is read."""

    async def say() -> None:
        while True:
            await redis.call("XADD", KEYS.interest, "*", "k", "log", "j", "a")
            await asyncio.sleep(5.0)

    saying = asyncio.create_task(say())
    try:
        async with asyncio.timeout(TIMEOUT_S):
            # A position comes before the first line.
            await redis.client.xread({LOG_KEY: "0"}, block=0)
        yield
    finally:
        saying.cancel()
