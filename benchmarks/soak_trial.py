"""Hours of use: viewers come and go while jobs change and logs are written and rotated.

The server leaks if its memory, open files or tasks grow from round to round, measured when no
viewer is connected.
"""

import argparse
import asyncio
import contextlib
import itertools
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.processes import MeasuredProcess, run_python, run_reader
from marianne_stream.demo.simulated_conductor import SimulatedConductor

JOB_COUNT = 20
PATHS = (
    *("/api/jobs/job-{n}/stream", "/api/jobs/job-{n}/logs?tail_lines=100", "/api/roster/stream"),
    *("/api/jobs/job-{n}/events", "/api/events/stream?limit=200&event=sheet"),
)
ROUND_S = 8.0
ROTATE_AT_BYTES = 1024 * 1024

# Enough rounds to estimate a slope.
MIN_MINUTES = 2.0

# As many as the timeline keeps, so that it is full from the start.
INITIAL_EVENTS = 11_000

# Less growth than this, from the first counted round to the last, is not a leak: a garbage
# collection more or less, a thread's stack.
MAX_GROWTH = {"memory_kib": 2048.0, "descriptors": 2.0, "tasks": 2.0}


async def soak(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Viewers, logs and events for some minutes; fails if memory, files or tasks grow."""
    # A fixed seed makes two runs comparable.
    chance = random.Random(options.seed)
    samples: dict[str, list[float]] = {name: [] for name in MAX_GROWTH}
    viewers = 0
    async with run_busy_server(folder) as (conductor, running):
        for number in range(INITIAL_EVENTS):
            conductor.emit(f"job-{number % JOB_COUNT}", "sheet.said", {"text": "x" * 400})
            if number % 100 == 0:
                # At most as many at once as the conductor buffers for one listener.
                await asyncio.sleep(0.05)
        ends_at = time.monotonic() + 60 * options.minutes
        while time.monotonic() < ends_at:
            viewers += await run_round(running, chance)
            await asyncio.sleep(1.0)
            tasks = (await running.request("tasks"))["tasks"]
            samples["memory_kib"].append(running.memory_kib())
            samples["descriptors"].append(running.count_open_files())
            samples["tasks"].append(tasks)
    grown = {name: estimate_growth(found) for name, found in samples.items()}
    for name, limit in MAX_GROWTH.items():
        if grown[name] > limit:
            sys.stdout.write(f"{name} has grown by {grown[name]:.0f}: {samples[name]}\n")
    return {
        "rounds": len(samples["tasks"]),
        "viewers": viewers,
        **{f"{name} last": found[-1] for name, found in samples.items()},
        **{f"{name} grown": value for name, value in grown.items()},
        "faults": sum(grown[name] > limit for name, limit in MAX_GROWTH.items()),
    }


def estimate_growth(samples: Sequence[float]) -> float:
    """Return the growth of a figure in the last two thirds of its samples.

    The median of the slopes between all pairs (Theil-Sen): an outlier hardly changes it.

    Raises:
        ValueError: there are fewer than nine samples, too few for an estimate.
    """
    if len(samples) < 9:
        raise ValueError(f"{len(samples)} rounds are too few to tell a slope: 9 are needed")
    counted = list(enumerate(samples))[len(samples) // 3 :]
    pairs = itertools.combinations(counted, 2)
    slope = statistics.median((later - now) / (n - m) for (m, now), (n, later) in pairs)
    return slope * (len(counted) - 1)


async def run_round(running: MeasuredProcess, rng: random.Random) -> int:
    """Run one round: viewers of each kind connect at once and leave kind by kind."""
    came = 0
    async with contextlib.AsyncExitStack() as stack:
        for path in PATHS:
            count = rng.randint(1, JOB_COUNT)
            await stack.enter_async_context(run_reader(running.address, path, count))
            came += count
            await asyncio.sleep(rng.uniform(0.0, ROUND_S / len(PATHS)))
    return came


@asynccontextmanager
async def run_busy_server(
    folder: Path,
) -> AsyncIterator[tuple[SimulatedConductor, MeasuredProcess]]:
    """Run a server and a conductor whose jobs change and write their logs."""
    conductor = SimulatedConductor(
        folder / "c.sock", registry=folder / "state.db", has_sheet_events=True
    )
    await conductor.start()
    for number in range(JOB_COUNT):
        (workspace := folder / f"ws-{number}").mkdir()
        (workspace / "marianne.log").touch()
        conductor.launch(f"job-{number}", 1000, workspace=str(workspace))
    script = Path(__file__).with_name("task_count_server.py")
    working = asyncio.create_task(generate_load(conductor, folder))
    try:
        async with run_python(script, folder / "c.sock", folder / "state.db") as running:
            await asyncio.sleep(1.0)
            yield conductor, running
            # If the load fails, the run fails; the server does not end first.
            if working.done():
                working.result()
    finally:
        working.cancel()
        await asyncio.wait([working])
        await conductor.kill()


async def generate_load(conductor: SimulatedConductor, folder: Path) -> None:
    """Write 20 lines to each log and emit an event, twenty times a second."""
    for turn in itertools.count():
        number = turn % JOB_COUNT
        if turn < 500 * JOB_COUNT:
            conductor.complete_sheet(f"job-{number}", turn // JOB_COUNT + 1)
        conductor.emit(f"job-{number}", "sheet.said", {"text": "y" * 400})
        log = folder / f"ws-{number}" / "marianne.log"
        with log.open("ab") as file:
            file.write(b"2026-11-24 03:00:00 [info] one of many lines of a job\n" * 400)
        if log.stat().st_size > ROTATE_AT_BYTES:
            log.replace(log.with_name("marianne.log.1"))
            log.touch()
        await asyncio.sleep(0.05)
