"""Logs: latency and throughput of lines, and the start of a large log."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.processes import MeasuredProcess, run_reader, run_server, wait_all_read
from marianne_stream.demo.simulated_conductor import SimulatedConductor

LOG_PATH = "/api/jobs/a/logs"

GIB = 1024**3
SAMPLE_LINE = b"2026-11-24T03:00:00.000000000 [info] sheet 1 line of a big log, as long as most\n"


@asynccontextmanager
async def run_logged_job(folder: Path) -> AsyncIterator[tuple[MeasuredProcess, Path]]:
    """Run a server and a job; yield the job's log."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    (workspace := folder / "ws").mkdir()
    (log := workspace / "marianne.log").touch()
    conductor.launch("a", 1, workspace=str(workspace))
    try:
        async with run_server(folder) as running:
            yield running, log
    finally:
        await conductor.kill()


async def log_latency(folder: Path) -> dict[str, float]:
    """Latency from the write of a line, 100 a second, to its receipt by each viewer."""
    found = {}
    for viewers in (1, 100):
        (place := folder / str(viewers)).mkdir()
        async with (
            run_logged_job(place) as (running, log),
            run_reader(running.address, LOG_PATH, viewers) as seen,
        ):
            await write_lines(log, duration_s=5, lines_per_s=100, writes_per_s=100)
            report = await wait_all_read(seen)
            found[f"p50_{viewers}_ms"] = report["p50_ms"]
            found[f"p99_{viewers}_ms"] = report["p99_ms"]
            found[f"lost_{viewers}"] = 500 * viewers - report["events"] + report["faults"]
    return found


async def log_fanout(folder: Path) -> dict[str, float]:
    """5,000 lines a second to 100 viewers, for five seconds; and to one `tail -F`."""
    seconds, rate, viewers = 5, 5000, 100
    async with (
        run_logged_job(folder) as (running, log),
        run_reader(running.address, LOG_PATH, viewers) as seen,
    ):
        before = running.cpu_s()
        await write_lines(log, duration_s=seconds, lines_per_s=rate, writes_per_s=50)
        report = await wait_all_read(seen)
        took = report["seconds"]
        return {
            "deliveries_s": report["events"] / took,
            "p50_ms": report["p50_ms"],
            "p99_ms": report["p99_ms"],
            "lost": seconds * rate * viewers - report["events"] + report["faults"],
            "server_cpu_s": running.cpu_s() - before,
            "reader_cpu_s": report["cpu_s"],
            "took_s": took,
        }


async def tail_f(folder: Path) -> dict[str, float]:
    """Latency from the write of a line, 100 a second, to its receipt by one `tail -F`."""
    (log := folder / "log").touch()
    tail = await asyncio.create_subprocess_exec(
        *("tail", "-n", "0", "-F", log), stdout=asyncio.subprocess.PIPE
    )
    ages: list[float] = []

    async def read() -> None:
        while tail.stdout is not None and (line := await tail.stdout.readline()):
            ages.append(time.monotonic() - float(line[line.index(b"@") + 1 : line.index(b">")]))

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.5)
    await write_lines(log, duration_s=5, lines_per_s=100, writes_per_s=100)
    await asyncio.sleep(1.2)
    tail.terminate()
    await tail.wait()
    await reading
    ages.sort()
    return {
        "p50_ms": 1000 * ages[len(ages) // 2],
        "p99_ms": 1000 * ages[len(ages) * 99 // 100],
        "lost": 500 - len(ages),
    }


async def log_memory(folder: Path) -> dict[str, float]:
    """Memory while 100 viewers read 1 GiB each from its start, for five seconds."""
    async with run_logged_job(folder) as (running, log):
        start = await fetch_start_cursor(running.address)
        await asyncio.to_thread(write_large_log, log)
        async with run_reader(running.address, LOG_PATH, 1, f"Last-Event-ID: {start}"):
            await asyncio.sleep(1)
        before = running.memory_kib()
        async with run_reader(running.address, LOG_PATH, 100, f"Last-Event-ID: {start}") as seen:
            await seen.request("report")
            highest = 0
            for _ in range(50):
                await asyncio.sleep(0.1)
                highest = max(highest, running.memory_kib())
            report = await seen.request("report")
            return {
                "before_mib": before / 1024,
                "highest_mib": highest / 1024,
                "kib_a_viewer": (highest - before) / 100,
                "mib_s": report["bytes"] / report["seconds"] / 1024**2,
            }


async def fetch_start_cursor(address: str) -> str:
    """Return the cursor of the beginning of an empty log."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{address}{LOG_PATH}/info") as answer,
    ):
        cursor: str = (await answer.json())["cursor"]
        return cursor


async def write_lines(
    log: Path,
    *,
    duration_s: float,
    lines_per_s: int,
    writes_per_s: int,
    text: bytes = b"sheet 1 says",
) -> None:
    """Append marked lines at a rate, in this many writes a second."""
    began, number = time.monotonic(), 0
    with log.open("ab", buffering=0) as file:
        for batch in range(1, int(duration_s * writes_per_s) + 1):
            now, upto = time.monotonic(), batch * lines_per_s // writes_per_s
            file.write(b"".join(b"<%d@%.6f> %b\n" % (n, now, text) for n in range(number, upto)))
            number = upto
            await asyncio.sleep(max(0.0, began + batch / writes_per_s - time.monotonic()))


async def big_log(folder: Path) -> dict[str, float]:
    """First line of a tail of 1 GiB, at first and later, and the delay of other requests."""
    async with (
        run_logged_job(folder) as (running, log),
        aiohttp.ClientSession(f"{running.address}/") as session,
    ):
        await asyncio.to_thread(write_large_log, log)
        plain = await asyncio.to_thread(measure_plain_read_s, log)
        first = asyncio.create_task(measure_first_line_s(session))
        stall = await longest_health(session, first)
        later = [await measure_first_line_s(session) for _ in range(20)]
        return {
            "plain_read_ms": 1000 * plain,
            "first_ms": 1000 * await first,
            "later_ms": 1000 * statistics.median(later),
            "stall_ms": 1000 * stall,
        }


def write_large_log(log: Path) -> None:
    """Write a log of 1 GiB."""
    block = SAMPLE_LINE * (4 * 1024 * 1024 // len(SAMPLE_LINE))
    with log.open("ab") as file:
        for _ in range(GIB // len(block)):
            file.write(block)


def measure_plain_read_s(log: Path) -> float:
    """Return the time to read the file and count its newlines, in seconds."""
    began = time.perf_counter()
    with log.open("rb", buffering=0) as file:
        while block := file.read(1024 * 1024):
            block.count(b"\n")
    return time.perf_counter() - began


async def measure_first_line_s(session: aiohttp.ClientSession) -> float:
    """Return the time from the request to the first line, in seconds."""
    began = time.perf_counter()
    async with session.get("api/jobs/a/logs") as response:
        await response.content.readuntil(b"event: log\n")
        return time.perf_counter() - began


async def longest_health(session: aiohttp.ClientSession, work: "asyncio.Task[float]") -> float:
    """Return the slowest /health before a task ended, in seconds."""
    worst = 0.0
    while not work.done():
        began = time.perf_counter()
        async with session.get("health") as response:
            await response.read()
        worst = max(worst, time.perf_counter() - began)
        await asyncio.sleep(0.001)
    return worst
