"""Hostile input: the slowest `/health` meanwhile, and the time from SIGTERM to the exit.

To add a case, add a `HostileCase` to `HOSTILE_CASES`, or a kind to
`tests/support/hostile_conductor.py`. `write_small_log` and `small_roster` are not hostile: they are
the baseline of the machine.
"""

import asyncio
import gzip
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp

from benchmarks.processes import MeasuredProcess, run_python, run_server
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support import hostile_conductor
from tests.support.hostile_conductor import KINDS

MIB = 1024 * 1024
GIB = 1024 * MIB

# Duration of the input in each case before the server is stopped.
DURATION_S = 5.0

# Viewers of a conductor with hostile answers.
CONDUCTOR_PATHS = (
    *("/api/jobs/other/stream", "/api/jobs/other/events"),
    *("/api/roster/stream?details=true", "/api/events/stream"),
)

# Requests /health every 5 ms in a separate process; prints the slowest in seconds.
HEALTH_SCRIPT = """
import http.client, sys, time
connection = http.client.HTTPConnection(sys.argv[1].removeprefix("http://"))
print("ready", flush=True)
longest, until = 0.0, time.perf_counter() + float(sys.argv[2])
while time.perf_counter() < until:
    began = time.perf_counter()
    connection.request("GET", "/health")
    connection.getresponse().read()
    longest = max(longest, time.perf_counter() - began)
    time.sleep(0.005)
print(longest, flush=True)
"""


@dataclass(frozen=True, slots=True)
class HostileCase:
    """A case of hostile input.

    Attributes:
        name: name of its figures.
        prepare: called with the conductor and an empty directory before the server starts.
        attack: context entered with the server's address while `/health` is measured.
    """

    name: str
    prepare: Callable[[SimulatedConductor, Path], None]
    attack: Callable[[str], AbstractAsyncContextManager[None]]


async def hostile(folder: Path) -> dict[str, float]:
    """The slowest `/health` during each kind of hostile input, and SIGTERM to exit."""
    found: dict[str, float] = {}
    for case in HOSTILE_CASES:
        (place := folder / case.name).mkdir()
        health_s, exit_s = await measure_case(case, place)
        found[f"{case.name}_health_ms"] = 1000 * health_s
        found[f"{case.name}_exit_s"] = exit_s
    for kind in KINDS:
        (place := folder / kind).mkdir()
        figures = await measure_conductor(kind, place)
        found |= {f"{kind}_{figure}": value for figure, value in figures.items()}
    return found


async def measure_conductor(kind: str, folder: Path) -> dict[str, float]:
    """Measure a hostile conductor, including the growth of the server's memory."""
    async with (
        run_python(hostile_conductor.__file__, folder / "c.sock", kind),
        run_server(folder) as running,
        request_repeatedly(running.address, CONDUCTOR_PATHS),
    ):
        before_kib = running.memory_kib()
        health_s = await longest_health(running.address)
        grown_kib = running.memory_kib() - before_kib
        return {
            "health_ms": 1000 * health_s,
            "exit_s": await measure_exit_s(running),
            "grown_mib": grown_kib / 1024,
        }


async def measure_case(case: HostileCase, folder: Path) -> tuple[float, float]:
    """Return the slowest `/health` of a case, and SIGTERM to exit, in seconds."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    try:
        await asyncio.to_thread((work := folder / "work").mkdir)
        case.prepare(conductor, work)
        async with run_server(folder) as running, case.attack(running.address):
            return await longest_health(running.address), await measure_exit_s(running)
    finally:
        await conductor.kill()


async def longest_health(address: str) -> float:
    """Return the slowest `/health` in the next seconds, in seconds."""
    async with run_python("-c", HEALTH_SCRIPT, address, DURATION_S) as health:
        if health.process.stdout is None:
            raise RuntimeError("the process was started without a pipe")
        return float(await health.process.stdout.readline())


async def measure_exit_s(running: MeasuredProcess) -> float:
    """Stop a server with SIGTERM and return the time to its exit, in seconds."""
    began = time.perf_counter()
    running.process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(running.process.wait(), 60)
    return time.perf_counter() - began


def write_small_log(conductor: SimulatedConductor, work: Path) -> None:
    """Write a log of one line, the baseline."""
    (work / "marianne.log").write_bytes(b"the first line\n")
    conductor.launch("a", 1, workspace=str(work))


def write_gzip_bomb(conductor: SimulatedConductor, work: Path) -> None:
    """Write a rotated file of 20 MB that expands to 20 GiB and begins like the log."""
    member = gzip.compress(b"\0" * (64 * MIB), 9)
    head = gzip.compress(b"the first line\n")
    (work / "marianne.log.1.gz").write_bytes(head + member * (20 * GIB // (64 * MIB)))
    (work / "marianne.log").write_bytes(b"the first line\n")
    conductor.launch("a", 1, workspace=str(work))


def write_sparse_log(conductor: SimulatedConductor, work: Path) -> None:
    """Write a sparse log of 2 TiB."""
    with (work / "marianne.log").open("wb") as file:
        file.write(b"the first line\n")
        file.seek(2 * 1024 * GIB)
        file.write(b"\nthe last line\n")
    conductor.launch("a", 1, workspace=str(work))


def write_long_line(conductor: SimulatedConductor, work: Path) -> None:
    """Write a log with a line of 4 GiB."""
    with (work / "marianne.log").open("wb") as file:
        file.write(b"the first line\n")
        for _ in range(4 * 1024):
            file.write(b"x" * MIB)
        file.write(b"\nthe last line\n")
    conductor.launch("a", 1, workspace=str(work))


def write_long_lines(conductor: SimulatedConductor, work: Path) -> None:
    """Write a log of 50,000 lines of 1 KB each."""
    (work / "marianne.log").write_bytes((b"x" * 1023 + b"\n") * 50_000)
    conductor.launch("a", 1, workspace=str(work))


@asynccontextmanager
async def request_slow_patterns(address: str) -> AsyncIterator[None]:
    """Search with slow patterns: a refused one, and the largest allowed one."""
    refused = "|".join(f".{{{number}}}~" for number in range(200, 320))
    allowed = "|".join(f".{{{number}}}~" for number in range(20, 37))
    paths = [
        f"/api/jobs/a/logs{place}regex={quote(pattern)}"
        for pattern in (refused, allowed)
        for place in ("?tail_lines=1000&", "?tail_lines=0&", "/lines?")
    ]
    async with request_repeatedly(address, paths * 2):
        yield


@asynccontextmanager
async def request_logs(address: str) -> AsyncIterator[None]:
    """Request a log in every way from twelve viewers, repeatedly."""
    paths = ("lines", "lines?from=start", "lines?contains=no", "info", "?tail_lines=1000", "raw")
    async with request_repeatedly(address, [f"/api/jobs/a/logs/{path}" for path in paths] * 2):
        yield


@asynccontextmanager
async def request_repeatedly(address: str, paths: Sequence[str]) -> AsyncIterator[None]:
    """Request each path from a client of its own, repeatedly."""
    async with aiohttp.ClientSession() as session:

        async def ask(path: str) -> None:
            while True:
                try:
                    async with session.get(address + path.replace("/?", "?")) as answer:
                        async for _ in answer.content.iter_any():
                            pass
                except aiohttp.ClientError:
                    # The server stops at the end of a case.
                    await asyncio.sleep(0.1)

        clients = [asyncio.create_task(ask(path)) for path in paths]
        try:
            yield
        finally:
            for client in clients:
                client.cancel()
            await asyncio.wait(clients)


HOSTILE_CASES = (
    HostileCase("small_log", write_small_log, request_logs),
    HostileCase("gzip_bomb", write_gzip_bomb, request_logs),
    HostileCase("sparse_log", write_sparse_log, request_logs),
    HostileCase("long_line", write_long_line, request_logs),
    HostileCase("slow_patterns", write_long_lines, request_slow_patterns),
)
