"""Many viewers: cost of connecting, idling, sending, stalling and disconnecting."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.contestants import (
    Contestant,
    has_nchan,
    run_load,
    run_marianne,
    run_nchan,
    run_peer,
)
from benchmarks.processes import MeasuredProcess, run_python, run_reader, run_server
from marianne_stream.demo.simulated_conductor import SimulatedConductor

Contestants = dict[str, Callable[[Path], AbstractAsyncContextManager[Contestant]]]

# Every load: viewers, events a second, seconds.
LOADS = (
    *((100, 500, 2.0), (1000, 50, 2.0), (1000, 100, 2.0)),
    *((5000, 20, 2.0), (10_000, 5, 3.0)),
)
SATURATING_EVENTS_PER_S = (800, 1600)


def select_contestants(*, all_servers: bool) -> Contestants:
    """Return this server and close competitors, or all if requested."""
    found: Contestants = {"ours": run_marianne}
    if has_nchan():
        found["nchan"] = run_nchan
    if all_servers:
        found["aiohttp_sse"] = lambda _: run_peer("plain_aiohttp_sse")
        found["sse_starlette"] = lambda _: run_peer("starlette_sse")
    return found


async def fanout(folder: Path) -> dict[str, float]:
    """One event to many viewers, in turns with other servers: latency, losses, cost.

    A fault is an event that this server loses.
    """
    figures = {"faults": 0.0}
    for viewers, rate, seconds in LOADS:
        everyone = select_contestants(all_servers=(viewers, rate) == (1000, 100))
        for name, contestant in everyone.items():
            (place := folder / f"{name}-{viewers}-{rate}").mkdir()
            async with contestant(place) as running:
                found = await run_load(running, viewers, rate, seconds)
            if name == "ours":
                figures["faults"] += found["lost"]
            for figure in ("deliveries_s", "p50_ms", "p99_ms", "lost", "cpu_us"):
                figures[f"{viewers}x{rate} {name} {figure}"] = found[figure]
    return figures


async def saturation(folder: Path) -> dict[str, float]:
    """More events a second than can be sent one by one to 1,000 viewers: deliveries."""
    figures: dict[str, float] = {}
    for rate in SATURATING_EVENTS_PER_S:
        for name, contestant in select_contestants(all_servers=False).items():
            (place := folder / f"{name}-{rate}").mkdir()
            async with contestant(place) as running:
                found = await run_load(running, 1000, rate, 2.0)
            for figure in ("deliveries_s", "p99_ms", "lost"):
                figures[f"{rate} {name} {figure}"] = found[figure]
            best = f"{name} best_deliveries_s"
            figures[best] = max(figures.get(best, 0.0), found["deliveries_s"])
    if "nchan best_deliveries_s" in figures:
        ratio = figures["ours best_deliveries_s"] / figures["nchan best_deliveries_s"]
        figures["ours to nchan"] = ratio
    return figures


async def send_alone(_folder: Path) -> dict[str, float]:
    """Cost of the system call that ends each delivery: the limit for any server."""
    script = Path(__file__).with_name("send_syscall.py")
    found = {}
    for count in (1000, 9000):
        async with run_python(script, count) as measured:
            found[f"{count} median_us"] = float(measured.address)
    return found


async def arrival(folder: Path) -> dict[str, float]:
    """10,000 viewers who connect at once, stay, and disconnect together.

    A fault is a viewer to whom this server sends nothing.
    """
    figures: dict[str, float] = {}
    alternatives = select_contestants(all_servers=False)
    alternatives["bare"] = lambda _: run_peer("bare_aiohttp")
    for name, contestant in alternatives.items():
        (place := folder / name).mkdir()
        async with contestant(place) as running:
            before_kib, kernel_kib = running.process.memory_kib(), kernel_slab_kib()
            before = running.process.count_open_files()
            async with run_reader(running.address, running.path, 10_000, timeout_s=60) as seen:
                await asyncio.sleep(1.0)
                report = await seen.request("report")
                held_kib = running.process.memory_kib() - before_kib
                kernel_kib = kernel_slab_kib() - kernel_kib
                cpu_s = running.process.cpu_s()
                seen.process.kill()
                await seen.process.wait()
                began = time.monotonic()
                await wait_disconnected(running.process, before)
                left_s = time.monotonic() - began
                cpu_s = running.process.cpu_s() - cpu_s
            if name == "ours":
                figures["faults"] = 10_000 - report["opened"]
            figures |= {
                f"{name} opened": report["opened"],
                f"{name} arrival_s": report["arrival_s"],
                f"{name} kib_a_stream": held_kib / 10_000,
                f"{name} kernel_kib_an_end": kernel_kib / 20_000,
                f"{name} leaving_s": left_s,
                f"{name} leaving_cpu_s": cpu_s,
                f"{name} kept_mib": (running.process.memory_kib() - before_kib) / 1024,
            }
    return figures


def kernel_slab_kib() -> int:
    """Return the kernel's slab memory, which includes connections, in KiB."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    return int(text.partition("Slab:")[2].split()[0])


async def wait_disconnected(measured: MeasuredProcess, open_files: int) -> None:
    """Wait until a process has no more open files than before."""
    for _ in range(1000):
        if measured.count_open_files() <= open_files + 2:
            return
        await asyncio.sleep(0.02)


async def slow_consumers(folder: Path) -> dict[str, float]:
    """1,000 viewers, 50 events a second; then the same beside 100 that read nothing.

    Faults are lost events, and stalled clients that are not detected.
    """
    figures = {"faults": 0.0}
    script = Path(__file__).with_name("stalled_clients.py")
    for stuck in (0, 100):
        (place := folder / str(stuck)).mkdir()
        async with run_marianne(place) as running:
            host, port = running.address.removeprefix("http://").split(":")
            if not stuck:
                found = await run_load(running, 1000, 50, 4.0)
            else:
                path = "/api/events/stream?limit=0"
                async with run_python(script, host, port, path, stuck):
                    # Fill the kernel's buffers first: 300 bytes an event would take long for that.
                    for _ in range(600):
                        await running.publish("x" * 12_000)
                        await asyncio.sleep(0.002)
                    await asyncio.sleep(0.5)
                    found = await run_load(running, 1000, 50, 4.0)
                    figures["faults"] += abs(stuck - await fetch_slow_consumers(running.address))
            figures["faults"] += found["lost"]
            figures[f"{stuck} stuck p50_ms"] = found["p50_ms"]
            figures[f"{stuck} stuck p99_ms"] = found["p99_ms"]
            figures[f"{stuck} stuck lost"] = found["lost"]
            figures[f"{stuck} stuck memory_mib"] = running.process.memory_kib() / 1024
    return figures


async def fetch_slow_consumers(address: str) -> float:
    """Return a server's own count of slow consumers."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as answer:
        found = re.search(
            r"^marianne_stream_slow_consumers (\S+)$", await answer.text(), re.MULTILINE
        )
    return float(found[1]) if found is not None else 0.0


@asynccontextmanager
async def run_jobs(
    folder: Path, job_count: int
) -> AsyncIterator[tuple[SimulatedConductor, MeasuredProcess]]:
    """Run a server and a conductor with this many running jobs."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    try:
        for number in range(job_count):
            conductor.launch(f"job-{number}", 10)
        async with run_server(folder) as running:
            yield conductor, running
    finally:
        await conductor.kill()


async def many_jobs(folder: Path) -> dict[str, float]:
    """1,000 running jobs with a viewer each; one of them changes 50 times a second."""
    async with run_jobs(folder, 1000) as (conductor, running):
        async with run_reader(
            running.address, "/api/jobs/job-{n}/stream", 1000, timeout_s=60
        ) as seen:
            arrived = await seen.request("report")
            await asyncio.sleep(5.0)
            asked, cpu_s, began = count_requests(conductor), running.cpu_s(), time.monotonic()
            changing = asyncio.create_task(complete_sheets(conductor, duration_s=5.0))
            worst = await longest_health(running.address, changing)
            took = time.monotonic() - began
            report = await seen.request("report")
        return {
            "arrival_s": arrived["arrival_s"],
            "opened": arrived["opened"],
            "requests_s": (count_requests(conductor) - asked) / took,
            "cpu_percent": 100 * (running.cpu_s() - cpu_s) / took,
            "kib_s": report["bytes"] / report["seconds"] / 1024,
            "health_worst_ms": 1000 * worst,
        }


async def complete_sheets(conductor: SimulatedConductor, *, duration_s: float) -> None:
    """Complete a sheet of each job in turn."""
    for number in range(int(50 * duration_s)):
        conductor.complete_sheet(f"job-{number % 1000}", 1)
        await asyncio.sleep(0.02)


async def longest_health(address: str, work: "asyncio.Task[None]") -> float:
    """Return the slowest /health before a task ended, in seconds."""
    worst = 0.0
    async with aiohttp.ClientSession() as session:
        while not work.done():
            began = time.perf_counter()
            async with session.get(f"{address}/health") as response:
                await response.read()
            worst = max(worst, time.perf_counter() - began)
            await asyncio.sleep(0.002)
    return worst


async def conductor_requests(folder: Path) -> dict[str, float]:
    """Requests to the conductor in 5 s for one viewer of a running job, and for 1,000."""
    figures: dict[str, float] = {}
    for viewers in (1, 1000):
        (place := folder / str(viewers)).mkdir()
        async with (
            run_jobs(place, 1) as (conductor, running),
            run_reader(running.address, "/api/jobs/job-0/stream", viewers),
        ):
            await asyncio.sleep(2.0)
            before = count_requests(conductor)
            await asyncio.sleep(5.0)
            figures[f"{viewers} requests"] = count_requests(conductor) - before
            figures[f"{viewers} connections"] = conductor.statistics.connections_open
    return figures


def count_requests(conductor: SimulatedConductor) -> int:
    """Return the number of requests that a conductor got."""
    return sum(conductor.statistics.requests.values())
