"""Cost of the recorder without subscribers, and accuracy of the estimates."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiohttp

from benchmarks.processes import run_python, run_server
from benchmarks.stream_cases import longest_health
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.history.retention import used_bytes

# Time until all jobs are watched, and durations of the two measurements.
WARM_UP_S = 15.0
MEASURED_S = 40.0
PROBED_S = 10.0
DAY_S = 24 * 3600


async def recorder(folder: Path) -> dict[str, float]:
    """200 running jobs of 60 KiB each, 20 changes a second, without subscribers."""
    script = Path(__file__).with_name("recording_conductor.py")
    figures = {}
    for name, options in (("recording", ()), ("history=none", ("--history", "none"))):
        (place := folder / name).mkdir()
        async with (
            run_python(script, place / "c.sock") as conductor,
            run_server(place, *options) as running,
        ):
            await asyncio.sleep(WARM_UP_S)
            before = await conductor.request("")
            size, cpu_s, began = stored_bytes(place), running.cpu_s(), time.monotonic()
            await asyncio.sleep(MEASURED_S)
            took = time.monotonic() - began
            after = await conductor.request("")
            figures[f"{name} cpu_percent"] = 100 * (running.cpu_s() - cpu_s) / took
            figures[f"{name} requests_s"] = (after["requests"] - before["requests"]) / took
            figures[f"{name} MiB a day"] = (stored_bytes(place) - size) / took * DAY_S / 1024**2
            probing = asyncio.create_task(asyncio.sleep(PROBED_S))
            figures[f"{name} health_worst_ms"] = 1000 * await longest_health(
                running.address, probing
            )
    return figures


def stored_bytes(folder: Path) -> int:
    """Return the size of the history below a directory, in bytes; 0 without one."""
    size = 0
    for path in (folder / "data").glob("history-*.db"):
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        size += used_bytes(database)
        database.close()
    return size


@dataclass(frozen=True, slots=True)
class Trial:
    """A simulated job: the duration of each sheet in seconds, and how many run at once."""

    name: str
    sheets_s: Sequence[float]
    parallel: int = 1


TRIALS = (
    Trial("constant", [1.5] * 24),
    Trial("four in parallel", [1.5] * 96, 4),
    Trial("growing", [0.4 + 0.1 * number for number in range(24)]),
    Trial("two kinds", [0.5] * 16 + [3.5] * 8),
)

# Jobs whose estimate at half-time must be within this share of their duration.
MAX_ERROR_PERCENT = 15
BOUNDED = ("constant", "four in parallel")


async def estimate(folder: Path) -> dict[str, float]:
    """Error of the estimated end at a quarter, half and three quarters of simulated jobs."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    figures: dict[str, float] = {}
    try:
        async with (
            run_server(folder) as running,
            aiohttp.ClientSession() as session,
        ):
            found = await asyncio.gather(
                *(measure_trial(trial, conductor, session, running.address) for trial in TRIALS)
            )
    finally:
        await conductor.kill()
    for trial, errors in zip(TRIALS, found, strict=True):
        figures |= {f"{trial.name} at {share:.0%} error_percent": e for share, e in errors.items()}
    figures["faults"] = sum(
        not abs(figures[f"{name} at 50% error_percent"]) <= MAX_ERROR_PERCENT for name in BOUNDED
    )
    return figures


async def measure_trial(
    trial: Trial, conductor: SimulatedConductor, session: aiohttp.ClientSession, address: str
) -> dict[float, float]:
    """Play a job; return the error of its estimated end, in percent of its duration, by time.

    NaN stands for no estimate.
    """
    job_id = trial.name.replace(" ", "-")
    conductor.launch(job_id, len(trial.sheets_s))
    began = time.time()
    asked: dict[float, float | None] = {}
    duration_s = sum(trial.sheets_s) / trial.parallel

    async def ask() -> None:
        for share in (0.25, 0.5, 0.75):
            await asyncio.sleep(max(0.0, began + share * duration_s - time.time()))
            async with session.get(f"{address}/api/jobs/{job_id}") as response:
                eta_at = (await response.json()).get("eta_at")
            asked[share] = datetime.fromisoformat(eta_at).timestamp() if eta_at else None

    async def play(lane: int) -> None:
        for number in range(lane, len(trial.sheets_s), trial.parallel):
            conductor.dispatch(job_id, number + 1)
            await asyncio.sleep(trial.sheets_s[number])
            conductor.complete_sheet(job_id, number + 1)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask())
        for lane in range(trial.parallel):
            group.create_task(play(lane))
    ended = time.time()
    conductor.finish(job_id)
    return {
        share: 100 * (eta_at - ended) / (ended - began) if eta_at is not None else float("nan")
        for share, eta_at in asked.items()
    }
