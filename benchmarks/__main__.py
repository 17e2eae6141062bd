"""`python -m benchmarks`: measure the figures of docs/performance.md on this machine."""

import argparse
import asyncio
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import aiohttp

from benchmarks.combined_case import combined
from benchmarks.files_case import files
from benchmarks.freshness_case import freshness
from benchmarks.history_cases import estimate, recorder
from benchmarks.hostile_case import hostile
from benchmarks.log_cases import big_log, log_fanout, log_latency, log_memory, tail_f
from benchmarks.nginx_case import nginx_cost, through_nginx
from benchmarks.page_case import page
from benchmarks.processes import run_python, run_server
from benchmarks.redis_case import redis_reads
from benchmarks.relay_cases import relay
from benchmarks.relay_lines_case import relay_lines
from benchmarks.relay_many_case import relay_many
from benchmarks.soak_trial import MIN_MINUTES, soak
from benchmarks.sources_case import edge_sources
from benchmarks.stream_cases import (
    arrival,
    conductor_requests,
    fanout,
    many_jobs,
    saturation,
    send_alone,
    slow_consumers,
)
from benchmarks.trials import restart, torture
from benchmarks.workers_case import workers
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.wire.sse import EventParser
from tests.support import conductor_process

CONDUCTOR_PROCESS = Path(conductor_process.__file__)

BenchmarkCase = Callable[[Path], Awaitable[dict[str, float]]]
TrialCase = Callable[..., Awaitable[dict[str, float]]]


async def startup(folder: Path) -> dict[str, float]:
    """Time from the start of the process to its first line."""
    times = []
    for _ in range(7):
        async with run_server(folder) as running:
            times.append(running.startup_s)
    return {"median_s": statistics.median(times), "worst_s": max(times)}


async def idle(folder: Path) -> dict[str, float]:
    """CPU time while subscribed without viewers."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    try:
        async with run_server(folder) as running:
            await asyncio.sleep(2)
            before = running.cpu_s()
            await asyncio.sleep(10)
            return {"cpu_percent": 100 * (running.cpu_s() - before) / 10}
    finally:
        await conductor.kill()


async def conductor_stop(folder: Path) -> dict[str, float]:
    """Time a conductor takes to stop while the server is subscribed, and after it was killed."""
    found = {}
    for name in ("subscribed_s", "killed_s"):
        times = []
        for _ in range(3):
            async with (
                run_python(CONDUCTOR_PROCESS, "--socket", folder / "c.sock") as host,
                run_server(folder) as running,
            ):
                await asyncio.sleep(0.5)
                if name == "killed_s":
                    running.process.kill()
                    await running.process.wait()
                host.process.send_signal(signal.SIGTERM)
                began = time.perf_counter()
                await asyncio.wait_for(host.process.wait(), 20)
                times.append(time.perf_counter() - began)
        found[name] = max(times)
    return found


async def event_latency(folder: Path) -> dict[str, float]:
    """Latency from a change announced by an event to its receipt by a viewer."""
    conductor = SimulatedConductor(
        folder / "c.sock", registry=folder / "state.db", has_sheet_events=True
    )
    await conductor.start()
    changes = 300
    conductor.launch("a", changes + 1)
    times = []
    try:
        async with (
            run_server(folder) as running,
            aiohttp.ClientSession(f"{running.address}/") as session,
            session.get("api/jobs/a/stream") as response,
        ):
            parser = EventParser()
            await response.content.readuntil(b"event: job_sheets\n")
            await asyncio.sleep(0.5)
            for number in range(1, changes + 1):
                conductor.complete_sheet("a", number)
                began = time.perf_counter()
                await read_until_completed(response, parser, number)
                times.append(time.perf_counter() - began)
                await asyncio.sleep(0.03)
    finally:
        await conductor.kill()
    cuts = statistics.quantiles(times, n=100)
    return {"p50_ms": 1000 * cuts[49], "p99_ms": 1000 * cuts[98]}


async def read_until_completed(
    response: aiohttp.ClientResponse, parser: EventParser, completed: int
) -> None:
    """Read until a status has this many completed sheets."""
    async for chunk in response.content.iter_any():
        for event in parser.feed(chunk):
            if (
                event.event == "job_status"
                and json.loads(event.data)["completed_sheets"] == completed
            ):
                return


async def heavy_state(folder: Path) -> dict[str, float]:
    """The slowest /health while a state of 8 MB is read repeatedly."""
    found = {}
    for kind in ("nothing", "values", "strings"):
        place = folder / kind
        place.mkdir()
        script = Path(__file__).with_name("large_state_conductor.py")
        async with run_python(script, place / "c.sock", kind), run_server(place) as running:
            asking = run_python("-c", STATE_READER_SCRIPT, f"{running.address}/api/jobs/a/status")
            async with asking as reader:
                reading = asyncio.create_task(reader.process.wait())
                found[f"{kind}_ms"] = 1000 * await longest_health(running.address, reading)
    return found


async def longest_health(address: str, work: "asyncio.Task[int]") -> float:
    """Return the slowest /health before a task ended, in seconds."""
    worst = 0.0
    async with aiohttp.ClientSession() as session:
        while not work.done():
            began = time.perf_counter()
            async with session.get(f"{address}/health") as response:
                await response.read()
            worst = max(worst, time.perf_counter() - began)
            await asyncio.sleep(0.001)
    return worst


# Requests the state repeatedly, in a separate process.
STATE_READER_SCRIPT = """
import sys, time, urllib.request
print("ready", flush=True)
for _ in range(10):
    urllib.request.urlopen(sys.argv[1]).read()
    time.sleep(0.1)
"""

CASES: tuple[BenchmarkCase, ...] = (
    *(startup, idle, conductor_stop, event_latency, freshness, heavy_state),
    *(fanout, saturation, send_alone, arrival, slow_consumers, many_jobs, conductor_requests),
    *(log_latency, tail_f, log_fanout, log_memory, big_log, through_nginx, hostile),
)


# Run only when named.
NAMED_CASES: tuple[BenchmarkCase, ...] = (
    *(relay, relay_lines, relay_many, redis_reads),
    *(edge_sources, workers, nginx_cost, estimate, recorder, files),
)

# Run only when named: they take long and end with pass or fail.
TRIALS: tuple[TrialCase, ...] = (torture, soak, restart, page, combined)


async def main() -> int:
    """Run all cases or the named ones, and print a table; return 1 if a case found faults."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="CASE", help=", ".join(map(case_name, ALL_CASES))
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the figures there, too")
    parser.add_argument("--lines", type=int, default=1_000_000, help="of torture")
    parser.add_argument("--minutes", type=float, default=10.0, help="of soak")
    parser.add_argument("--seed", type=int, default=7, help="of torture and soak")
    parser.add_argument("--viewers", type=int, default=10_000, help="of combined")
    options = parser.parse_args()
    unknown = set(options.names) - set(map(case_name, ALL_CASES))
    if unknown:
        parser.error(f"there is no case {min(unknown)!r}")
    if options.minutes < MIN_MINUTES:
        parser.error(f"--minutes is {options.minutes}; a slope shows in {MIN_MINUTES} at least")
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    sys.stdout.write(f"{machine}, Python {platform.python_version()}\n")
    failed = False
    began = time.monotonic()
    found: dict[str, dict[str, float]] = {}
    for case in (*CASES, *NAMED_CASES):
        if case_name(case) in options.names or (not options.names and case in CASES):
            found[case_name(case)] = await run_case(case, case)
            failed = failed or bool(found[case_name(case)].get("faults"))
    for trial in TRIALS:
        if case_name(trial) in options.names:
            figures = await run_case(trial, partial(trial, options=options))
            failed = failed or bool(figures["faults"])
            found[case_name(trial)] = figures
    sys.stdout.write(f"in {time.monotonic() - began:.0f} s\n")
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine, "figures": found}, indent=2) + "\n")
    return int(failed)


async def run_case(
    case: object, work: Callable[[Path], Awaitable[dict[str, float]]]
) -> dict[str, float]:
    """Run one case in a directory of its own and print its figures."""
    with tempfile.TemporaryDirectory() as folder:
        figures = await work(Path(folder))
    for figure, value in figures.items():
        sys.stdout.write(f"{case_name(case):12} {figure:36} {value:14,.2f}\n")
        sys.stdout.flush()
    return figures


def case_name(case: object) -> str:
    """Return the name of a case on the command line."""
    return getattr(case, "__name__", "")


ALL_CASES = (*CASES, *NAMED_CASES, *TRIALS)

sys.exit(asyncio.run(main()))
