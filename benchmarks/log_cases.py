"""Logs: how soon a line arrives, how many arrive, and how a big log begins."""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.processes import Measured, server
from marianne_stream.demo.conductor import SimulatedConductor

GIB = 1024**3
LINE = b"2026-11-24T03:00:00.000000000 [info] sheet 1 line of a big log, as long as most\n"


@asynccontextmanager
async def logged_job(folder: Path) -> AsyncIterator[tuple[Measured, Path]]:
    """A server, and the log of a running job that its conductor knows."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    (workspace := folder / "ws").mkdir()
    (log := workspace / "marianne.log").touch()
    conductor.launch("a", 1, workspace=str(workspace))
    try:
        async with server(folder) as running:
            yield running, log
    finally:
        await conductor.kill()


async def log_latency(folder: Path) -> dict[str, float]:
    """From the write of a line, 100 a second, to its receipt by each viewer."""
    found = {}
    for viewers in (1, 100):
        (place := folder / str(viewers)).mkdir()
        async with (
            logged_job(place) as (running, log),
            aiohttp.ClientSession(
                f"{running.address}/", connector=aiohttp.TCPConnector(limit=0)
            ) as session,
        ):
            times: list[float] = []
            readers = [asyncio.create_task(receive(session, times)) for _ in range(viewers)]
            await asyncio.sleep(1)
            file = os.open(log, os.O_WRONLY | os.O_APPEND)
            for _ in range(500):
                os.write(file, b"%.9f\n" % time.perf_counter())
                await asyncio.sleep(0.01)
            os.close(file)
            await asyncio.sleep(0.5)
            for reader in readers:
                reader.cancel()
            cuts = statistics.quantiles(times, n=100)
            found[f"p50_{viewers}_ms"] = 1000 * cuts[49]
            found[f"p99_{viewers}_ms"] = 1000 * cuts[98]
            found[f"count_{viewers}"] = len(times)
    return found


async def receive(session: aiohttp.ClientSession, times: list[float]) -> None:
    """Notes for each line how old it is."""
    async with session.get("api/jobs/a/logs") as response:
        async for line in response.content:
            if line.startswith(b'data: {"line":"'):
                sent = float(line[15 : line.index(b'"', 15)])
                times.append(time.perf_counter() - sent)


async def big_log(folder: Path) -> dict[str, float]:
    """The first line of a tail of 1 GiB, first and later, and how long others wait meanwhile."""
    async with (
        logged_job(folder) as (running, log),
        aiohttp.ClientSession(f"{running.address}/") as session,
    ):
        block = LINE * (4 * 1024 * 1024 // len(LINE))
        with log.open("ab") as file:
            for _ in range(GIB // len(block)):
                await asyncio.to_thread(file.write, block)
        plain = await asyncio.to_thread(count_plainly, log)
        first = asyncio.create_task(first_line(session))
        stall = await longest_health(session, first)
        later = [await first_line(session) for _ in range(20)]
        return {
            "plain_read_ms": 1000 * plain,
            "first_ms": 1000 * await first,
            "later_ms": 1000 * statistics.median(later),
            "stall_ms": 1000 * stall,
        }


def count_plainly(log: Path) -> float:
    """How long reading the file and counting its newlines takes, in seconds."""
    began = time.perf_counter()
    with log.open("rb", buffering=0) as file:
        while block := file.read(1024 * 1024):
            block.count(b"\n")
    return time.perf_counter() - began


async def first_line(session: aiohttp.ClientSession) -> float:
    """From the request to the first line, in seconds."""
    began = time.perf_counter()
    async with session.get("api/jobs/a/logs") as response:
        await response.content.readuntil(b"event: log\n")
        return time.perf_counter() - began


async def longest_health(session: aiohttp.ClientSession, until: "asyncio.Task[float]") -> float:
    """The longest that a small answer took before a task ended, in seconds."""
    worst = 0.0
    while not until.done():
        began = time.perf_counter()
        async with session.get("health") as response:
            await response.read()
        worst = max(worst, time.perf_counter() - began)
        await asyncio.sleep(0.001)
    return worst
