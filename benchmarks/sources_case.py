"""An edge of several sources: cost of a line for the edge and Redis.

The data of the relays is written to Redis directly: ten relays would leave it no CPU.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import process_cpu_s, run_python, run_reader, wait_all_read
from marianne_stream.models import JobState, RosterEntry
from marianne_stream.relay.schema import (
    FORMAT_VERSION,
    LogEntry,
    LogEntryId,
    RelayStatus,
    SourceKeys,
    encode_json,
)
from tests.support.redis_server import RedisServer, run_redis

PREFIX = "marianne-stream"

# Logs in all, whatever their source; each has a viewer.
LOG_COUNT = 100
SOURCE_COUNTS = (1, 10)
LINES_PER_S, DURATION_S = 2000, 4

CREATED_AT = "2026-11-24T03:00:00.000Z"


class SimulatedRelays:
    """Writes what relays of several sources would publish.

    Args:
        redis: the Redis.
        source_count: number of sources.
    """

    def __init__(self, redis: RedisServer, source_count: int) -> None:
        self._redis = redis
        self._keys = [SourceKeys(PREFIX, f"s{number}") for number in range(source_count)]

    @property
    def source_names(self) -> str:
        """Return the names of the sources, as the setting takes them."""
        return ",".join(keys.source for keys in self._keys)

    def locate_job(self, number: int) -> tuple[SourceKeys, str]:
        """Return the source of a job and its id there."""
        return self._keys[number % len(self._keys)], f"a{number}"

    async def publish_jobs(self) -> None:
        """Publish all jobs as running."""
        about = encode_json(RelayStatus(source="conductor", live=True, events_live=True, epoch="e"))
        for keys in self._keys:
            await self._redis.call("INCR", keys.fence)
            await self._redis.call("SET", keys.format, FORMAT_VERSION)
            await self._redis.call("SET", keys.status, about)
        for number in range(LOG_COUNT):
            keys, job_id = self.locate_job(number)
            entry = RosterEntry(job_id, "running", 1.0, 1.0, 0, 1)
            state = JobState(job_id, "running", "conductor", True, "running", created_at=CREATED_AT)  # noqa: FBT003
            await self._redis.call("HSET", keys.jobs, job_id, encode_json(entry))
            await self._redis.call("HSET", keys.states, job_id, encode_json(state))
            await self._redis.call("XADD", keys.log(job_id), "1-0", "c", make_cursor(0))

    async def write_lines(self) -> int:
        """Add a line to each log in turn; return the number of lines."""
        began = time.monotonic()
        total = LINES_PER_S * DURATION_S
        for number in range(total):
            await asyncio.sleep(max(0.0, began + number / LINES_PER_S - time.monotonic()))
            keys, job_id = self.locate_job(number % LOG_COUNT)
            line = number // LOG_COUNT + 1
            text = f'"[info] sheet 1 says <{line}@{time.monotonic():.6f}>, as most do"'.encode()
            entry = LogEntry(make_cursor(line), text, line, "2026-11-24T03:00:00.000000Z")
            await self._redis.call(
                *("XADD", keys.log(job_id), str(LogEntryId(1, 80 * line))), *flatten_fields(entry)
            )
        return total


def make_cursor(line: int) -> str:
    """Return the id of a line's event."""
    return f"l-1e240-0123456789abcdef-{80 * line}-{line}-0123456789abcdef"


def flatten_fields(entry: LogEntry) -> Iterator[str | bytes]:
    """Return the fields of an entry as a flat list."""
    return (field for pair in entry.fields().items() for field in pair)


async def edge_sources(folder: Path) -> dict[str, float]:
    """2,000 lines a second in 100 logs, one by one, of one source and of ten."""
    figures = {"faults": 0.0}
    for count in SOURCE_COUNTS:
        async with run_redis(folder / str(count)) as redis:
            relays = SimulatedRelays(redis, count)
            await relays.publish_jobs()
            found = await measure_edge(redis, relays)
        figures["faults"] += found.pop("lost")
        figures |= {f"{count} sources {name}": value for name, value in found.items()}
    return figures


async def measure_edge(redis: RedisServer, relays: SimulatedRelays) -> dict[str, float]:
    """Measure the edge under this load."""
    async with run_python(
        *("-m", "marianne_stream", "--port", 0, "--no-auth", "--log-level", "error"),
        *(
            "--state-backend",
            "redis",
            "--redis-url",
            redis.url,
            "--sources",
            relays.source_names,
            "--max-streams-per-address",
            20_000,
        ),
    ) as edge:
        await asyncio.sleep(2.0)
        path = "/api/jobs/a{n}/logs?tail_lines=0"
        async with run_reader(edge.address, path, LOG_COUNT, timeout_s=60) as seen:
            info = await redis.client.info("all")
            before = edge.cpu_s(), process_cpu_s(info["process_id"]), info["cmdstat_xread"]["calls"]
            written = await relays.write_lines()
            report = await wait_all_read(seen)
            info = await redis.client.info("all")
            after = edge.cpu_s(), process_cpu_s(info["process_id"]), info["cmdstat_xread"]["calls"]
    edge_s, redis_s, reads = (late - early for early, late in zip(before, after, strict=True))
    return {
        "edge_us a line": 1e6 * edge_s / written,
        "redis_us a line": 1e6 * redis_s / written,
        "reads_s": reads / DURATION_S,
        "p50_ms": report["p50_ms"],
        "p99_ms": report["p99_ms"],
        "lost": written - report["events"] + report["faults"],
    }
