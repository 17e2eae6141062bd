"""Many logs through Redis, each written a line at a time: cost of a line."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.processes import (
    MeasuredProcess,
    process_cpu_s,
    run_reader,
    run_server,
    wait_all_read,
)
from benchmarks.relay_cases import SOURCE, run_edge
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.redis_server import RedisServer, run_redis

LOG_COUNT = 100

# Writes a second to each log, and the duration.
LINES_PER_S, DURATION_S = (5, 20, 80), 4

LOG_PATH = "/api/jobs/a{n}/logs?tail_lines=0"


@dataclass(frozen=True, slots=True)
class PublishedLogs:
    """Published logs, and an edge with a viewer of each.

    Attributes:
        logs: the files, open for writing.
        redis: the Redis.
        relay: the publishing server.
        edge: the edge.
    """

    logs: Sequence[IO[str]]
    redis: RedisServer
    relay: MeasuredProcess
    edge: MeasuredProcess

    async def read_usage(self) -> dict[str, float]:
        """Return the CPU time of each process in seconds, and the number of Redis calls."""
        info = await self.redis.client.info("all")
        return {
            "relay_us": 1e6 * self.relay.cpu_s(),
            "redis_us": 1e6 * process_cpu_s(info["process_id"]),
            "edge_us": 1e6 * self.edge.cpu_s(),
            "scripts": info.get("cmdstat_evalsha", {}).get("calls", 0),
            "reads": info.get("cmdstat_xread", {}).get("calls", 0),
        }


@asynccontextmanager
async def run_publisher(folder: Path) -> AsyncIterator[PublishedLogs]:
    """Run jobs with logs and a server that publishes them."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    with ExitStack() as stack:
        logs = []
        for number in range(LOG_COUNT):
            (workspace := folder / str(number)).mkdir()
            logs.append(stack.enter_context((workspace / "marianne.log").open("a")))
            conductor.launch(f"a{number}", 1, workspace=str(workspace))
        # By this job, the edge is known to have all of them.
        conductor.launch("a", 1)
        try:
            async with (
                run_redis(folder / "redis") as redis,
                run_server(folder, "--publish-url", redis.url, "--source-name", SOURCE) as relay,
                run_edge(redis) as edge,
            ):
                yield PublishedLogs(logs, redis, relay, edge)
        finally:
            await conductor.kill()


async def relay_many(folder: Path) -> dict[str, float]:
    """A hundred logs with a viewer each: 500 to 8,000 lines a second, one by one."""
    figures = {"faults": 0.0}
    for rate in LINES_PER_S:
        (place := folder / str(rate)).mkdir()
        async with (
            run_publisher(place) as running,
            run_reader(running.edge.address, LOG_PATH, LOG_COUNT, timeout_s=60) as seen,
        ):
            before = await running.read_usage()
            written = await write_lines(running.logs, rate)
            report = await wait_all_read(seen)
            used = await running.read_usage()
        figures["faults"] += written - report["events"] + report["faults"]
        found = {name: (used[name] - before[name]) / written for name in used}
        found |= {"p50_ms": report["p50_ms"], "p99_ms": report["p99_ms"]}
        figures |= {f"{LOG_COUNT * rate} lines_s {name}": value for name, value in found.items()}
    return figures


async def write_lines(logs: Sequence[IO[str]], lines_per_s: int) -> int:
    """Write a line to each log in turn at a rate; return the number of lines."""
    began = time.monotonic()
    written = 0
    for number in range(lines_per_s * DURATION_S):
        for place, log in enumerate(logs):
            due = began + (number + place / LOG_COUNT) / lines_per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            log.write(f"[info] sheet 1 says <{number + 1}@{time.monotonic():.6f}>, as most do\n")
            log.flush()
            written += 1
    return written
