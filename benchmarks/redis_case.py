"""Cost of Redis for each reader of a log, which limits the number of edges."""

import time
from pathlib import Path

from benchmarks.processes import process_cpu_s
from marianne_stream.relay.schema import LogEntry, LogEntryId, SourceKeys
from tests.support.redis_server import RedisServer, run_redis

LOG_KEY = SourceKeys("marianne-stream", "here").log("a")

ENTRY_COUNT = 50_000
SAMPLE_LINE = (
    b'"2026-11-24T03:00:00.000000000 [info] sheet 1 says what most of them do, as most do"'
)

# Entries of one read, and duration of each measurement.
BATCH_SIZES, DURATION_S = (1, 10, 500), 3.0


async def redis_reads(folder: Path) -> dict[str, float]:
    """CPU time and bytes of an entry, by the size of a read; memory of one entry."""
    async with run_redis(folder) as redis:
        before = (await redis.client.info("memory"))["used_memory"]
        await write_log(redis)
        info = await redis.client.info()
        figures = {"bytes_kept": (info["used_memory"] - before) / ENTRY_COUNT}
        for count in BATCH_SIZES:
            found = await measure_reads(redis, info["process_id"], count)
            figures |= {f"{count} at once {name}": value for name, value in found.items()}
    return figures


async def write_log(redis: RedisServer) -> None:
    """Write a log."""
    pipe = redis.client.pipeline(transaction=False)
    for number in range(1, ENTRY_COUNT + 1):
        cursor = f"l-1e240-0123456789abcdef-{80 * number}-{number}-0123456789abcdef"
        entry = LogEntry(cursor, SAMPLE_LINE, number, "2026-11-24T03:00:00.000000Z")
        place = LogEntryId(1_795_500_000, 80 * number)
        fields = [field for pair in entry.fields().items() for field in pair]
        pipe.execute_command("XADD", LOG_KEY, str(place), *fields)
    await pipe.execute()


async def measure_reads(redis: RedisServer, pid: int, batch_size: int) -> dict[str, float]:
    """Read entries in sequence, this many in one call."""
    sent = (await redis.client.info("stats"))["total_net_output_bytes"]
    cpu_s, began = process_cpu_s(pid), time.monotonic()
    place, entries = b"0", 0
    while time.monotonic() - began < DURATION_S:
        answer = await redis.call(
            "XREAD", "COUNT", batch_size, "BLOCK", 1, "STREAMS", LOG_KEY, place
        )
        if not answer:
            place = b"0"
            continue
        found = answer[0][1]
        place, entries = found[-1][0], entries + len(found)
    cpu_s = process_cpu_s(pid) - cpu_s
    sent = (await redis.client.info("stats"))["total_net_output_bytes"] - sent
    return {"us an entry": 1e6 * cpu_s / entries, "bytes an entry": sent / entries}
