"""Combined streams of one job, in turns with the single streams of their parts."""

import argparse
import asyncio
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from benchmarks.contestants import PADDING
from benchmarks.processes import MeasuredProcess, run_reader, run_server, wait_all_read
from marianne_stream.demo.sheet_operations import SheetOutput
from marianne_stream.demo.simulated_conductor import SimulatedConductor

ROUNDS = 3

# Time that the server has after 10,000 streams were opened to finish what that takes.
SETTLE_S = 3.0

# Time for which events, and then lines, are sent without pause.
LOAD_S = 3.0

# Changes of the job's sheets, and the time between two of them, in which all viewers get the first.
CHANGES = 6
CHANGE_INTERVAL_S = 0.5

# What the page of a job requests. The single streams are opened one kind after the other: there are
# fewer ports than all of them would take.
SINGLE_PATHS = {
    "roster": "/api/roster/stream?details=true",
    "status": "/api/jobs/a/stream",
    "events": "/api/jobs/a/events?limit=200",
    "log": "/api/jobs/a/logs?tail_lines=1000",
}
PARTS = ("roster?details=true", "status:a", "events:a?limit=200", "log:a?tail_lines=1000")
COMBINED_PATH = f"/api/stream?{urlencode([('part', part) for part in PARTS])}"
PATHS = {**SINGLE_PATHS, "combined": COMBINED_PATH}

# The loads of each kind of streams, in their order.
LOADS = {
    "roster": ("changes",),
    "status": ("changes",),
    "events": ("events",),
    "log": ("lines",),
    "combined": ("events", "lines", "changes"),
}

# Promises: ratios of combined streams to single streams.
MIN_DELIVERY_RATIO = 0.85
MAX_CPU_RATIO = 1 / MIN_DELIVERY_RATIO
MAX_MEMORY_RATIO = 1.0


@dataclass(frozen=True, slots=True)
class ViewedJob:
    """A job with many viewers.

    Attributes:
        conductor: the conductor of the job `a`.
        log: the job's log.
        server: the process that is measured.
        viewers: the process that reads the streams.
        viewer_count: the number of these streams.
        last_viewer: one more stream, which gets everything after the others. It is a combined one
            beside single streams, too, so that the server watches the same.
        numbers: the numbers of what is sent, from 1.
    """

    conductor: SimulatedConductor
    log: Path
    server: MeasuredProcess
    viewers: MeasuredProcess
    viewer_count: int
    last_viewer: aiohttp.StreamReader
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def run_load(self, load: str) -> dict[str, float]:
        """Run a load; return its cost for each delivery, and deliveries a second."""
        await self.viewers.request("report")
        cpu_s = self.server.cpu_s()
        if load == "changes":
            await self._change_sheets()
            await wait_all_read(self.viewers)
            deliveries = CHANGES * self.viewer_count
            return {"cpu_us": 1e6 * (self.server.cpu_s() - cpu_s) / deliveries}
        sent = await self._send_without_pause(self._say if load == "events" else self._log_line)
        report = await wait_all_read(self.viewers)
        deliveries = sent * self.viewer_count
        return {
            "cpu_us": 1e6 * (self.server.cpu_s() - cpu_s) / deliveries,
            "deliveries_s": report["events"] / report["seconds"],
            "lost": deliveries - report["events"] + report["faults"],
        }

    async def _send_without_pause(self, send: Callable[[str], None]) -> int:
        """Send for a while, each time all viewers have the one before; return the number sent."""
        began, sent = time.monotonic(), 0
        async with asyncio.timeout(60):
            while time.monotonic() - began < LOAD_S:
                number = next(self.numbers)
                send(f"<{number}@{time.monotonic():.6f}>{PADDING}")
                await self.last_viewer.readuntil(b"<%d@" % number)
                sent += 1
        return sent

    def _say(self, text: str) -> None:
        self.conductor.emit("a", "sheet.said", {"text": text})

    def _log_line(self, text: str) -> None:
        with self.log.open("a", encoding="ascii") as file:
            file.write(f"{text}\n")

    async def _change_sheets(self) -> None:
        """Complete sheets, each of which changes the job's status and its entry in the roster."""
        for number in range(1, CHANGES + 1):
            self.conductor.complete_sheet("a", number, SheetOutput())
            await asyncio.sleep(CHANGE_INTERVAL_S)


async def combined(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Combined streams of one job, in turns with the single streams of their parts.

    Faults are lost events and lines, and ratios that break a promise.
    """
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for turn in range(ROUNDS):
        for name in PATHS:
            (place := folder / f"{name}-{turn}").mkdir()
            found[name].append(await measure_streams(place, name, options.viewers))
    figures = {
        f"{name} {figure}": statistics.median(run[figure] for run in runs)
        for name, runs in found.items()
        for figure in runs[0]
        if not figure.endswith("lost")
    }
    all_runs = (run for runs in found.values() for run in runs)
    lost = sum(run[figure] for run in all_runs for figure in run if figure.endswith("lost"))
    ratios, broken = compare_streams(figures)
    return figures | ratios | {"lost": lost, "faults": lost + broken}


async def measure_streams(folder: Path, name: str, viewer_count: int) -> dict[str, float]:
    """Measure streams of one kind: the memory of one, and the figures of their loads."""
    async with run_viewed_job(folder, PATHS[name], viewer_count) as (job, before_kib):
        await asyncio.sleep(SETTLE_S)
        figures = {"kib_a_stream": (job.server.memory_kib() - before_kib) / viewer_count}
        for load in LOADS[name]:
            found = await job.run_load(load)
            figures |= {f"{load} {figure}": value for figure, value in found.items()}
    return figures


@asynccontextmanager
async def run_viewed_job(
    folder: Path, path: str, viewer_count: int
) -> AsyncIterator[tuple[ViewedJob, int]]:
    """Run a job and its viewers; yield it, and the memory of the server before they came."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    (workspace := folder / "ws").mkdir()
    (log := workspace / "marianne.log").touch()
    conductor.launch("a", CHANGES + 1, workspace=str(workspace))
    try:
        async with run_server(folder, "--max-streams", viewer_count + 1) as server:
            await asyncio.sleep(0.5)
            before_kib = server.memory_kib()
            async with (
                run_reader(server.address, path, viewer_count, timeout_s=60) as viewers,
                aiohttp.ClientSession() as session,
                session.get(f"{server.address}{COMBINED_PATH}") as response,
            ):
                stream = response.content
                yield ViewedJob(conductor, log, server, viewers, viewer_count, stream), before_kib
    finally:
        await conductor.kill()


def compare_streams(figures: dict[str, float]) -> tuple[dict[str, float], int]:
    """Return the ratios of combined streams to single streams, and how many break a promise."""
    parts_kib = sum(figures[f"{name} kib_a_stream"] for name in SINGLE_PATHS)
    memory = figures["combined kib_a_stream"] / parts_kib
    changes_us = figures["roster changes cpu_us"] + figures["status changes cpu_us"]
    cpu = {"changes": figures["combined changes cpu_us"] / changes_us}
    deliveries = {}
    for load, single in (("events", "events"), ("lines", "log")):
        ours, theirs = (f"{name} {load}" for name in ("combined", single))
        cpu[load] = figures[f"{ours} cpu_us"] / figures[f"{theirs} cpu_us"]
        deliveries[load] = figures[f"{ours} deliveries_s"] / figures[f"{theirs} deliveries_s"]
    ratios = {"memory to all parts": memory}
    ratios |= {f"{load} cpu to single streams": ratio for load, ratio in cpu.items()}
    ratios |= {f"{load} deliveries to single streams": ratio for load, ratio in deliveries.items()}
    broken = sum(ratio > MAX_CPU_RATIO for ratio in cpu.values())
    broken += sum(ratio < MIN_DELIVERY_RATIO for ratio in deliveries.values())
    return ratios, broken + (memory > MAX_MEMORY_RATIO)
