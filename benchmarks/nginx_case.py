"""Cost of nginx in front of the server, with the file of docs/examples."""

import asyncio
import json
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.contestants import PADDING, find_worker_pid
from benchmarks.processes import MeasuredProcess, run_server
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.wire.sse import EventParser
from tests.support.nginx_server import SITE_NAME, ProxiedServer, run_behind_nginx

# In each round.
EVENTS_PER_TURN = 200
TURNS = 6
EVENT_INTERVAL_S = 0.01

# Viewers and events to measure the cost of a delivery.
VIEWER_COUNT, EVENTS_PER_VIEWER = 100, 400

EVENTS_PATH = "/api/events/stream?limit=0"


class LatencyViewer:
    """Viewer of events that contain the time of their creation.

    Attributes:
        latencies_s: latency of each event, in seconds.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.latencies_s: list[float] = []
        self._response = response
        self._parser = EventParser()

    async def read(self) -> None:
        """Read until cancelled."""
        async for chunk in self._response.content.iter_any():
            now = time.monotonic()
            for event in self._parser.feed(chunk):
                if event.event == "sheet.said":
                    self.latencies_s.append(now - json.loads(event.data)["data"]["at"])


@asynccontextmanager
async def open_latency_viewer(
    session: aiohttp.ClientSession, address: str
) -> AsyncIterator[LatencyViewer]:
    """Open a stream and read it in the background."""
    async with session.get(f"{address}{EVENTS_PATH}") as response:
        response.raise_for_status()
        viewer = LatencyViewer(response)
        reading = asyncio.create_task(viewer.read())
        try:
            yield viewer
        finally:
            reading.cancel()
            await asyncio.wait([reading])


@asynccontextmanager
async def run_proxied_server(
    folder: Path,
) -> AsyncIterator[tuple[SimulatedConductor, MeasuredProcess, ProxiedServer]]:
    """Run a conductor with a job, a server, and nginx in front of it."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    options = (
        "--uds",
        folder / "http.sock",
        "--allowed-hosts",
        SITE_NAME,
        "--trusted-proxies",
        "unix",
    )
    try:
        conductor.launch("a", 1)
        async with run_server(folder, *options) as running, run_behind_nginx(folder) as behind:
            yield conductor, running, behind
    finally:
        await conductor.kill()


async def through_nginx(folder: Path) -> dict[str, float]:
    """Latency of an event to one viewer: direct and through nginx, alternating."""
    if shutil.which("nginx") is None:
        sys.stdout.write("through_nginx: nginx is not installed\n")
        return {}
    ages_s: dict[str, list[float]] = {"direct": [], "nginx": []}
    async with AsyncExitStack() as stack:
        conductor, running, behind = await stack.enter_async_context(run_proxied_server(folder))
        direct = await stack.enter_async_context(aiohttp.ClientSession())
        ways = {"direct": (direct, running.address), "nginx": (behind.session, behind.address)}
        for turn in range(TURNS):
            way = ("direct", "nginx")[turn % 2]
            async with open_latency_viewer(*ways[way]) as viewer:
                await asyncio.sleep(0.5)
                for _ in range(EVENTS_PER_TURN):
                    conductor.emit("a", "sheet.said", {"at": time.monotonic()})
                    await asyncio.sleep(EVENT_INTERVAL_S)
                await asyncio.sleep(0.5)
            ages_s[way] += viewer.latencies_s
    figures: dict[str, float] = {}
    for way, found in ages_s.items():
        cuts = statistics.quantiles(found, n=100)
        figures[f"{way} events"] = len(found)
        figures[f"{way} lost"] = EVENTS_PER_TURN * TURNS // 2 - len(found)
        figures[f"{way} p50_ms"] = 1000 * cuts[49]
        figures[f"{way} p99_ms"] = 1000 * cuts[98]
    return figures


async def nginx_cost(folder: Path) -> dict[str, float]:
    """CPU time of server and nginx for an event to one of 100 viewers, including TLS."""
    if shutil.which("nginx") is None:
        sys.stdout.write("nginx_cost: nginx is not installed\n")
        return {}
    async with AsyncExitStack() as stack:
        conductor, running, behind = await stack.enter_async_context(run_proxied_server(folder))
        worker = MeasuredProcess(
            running.process, 0.0, "", pid=find_worker_pid(behind.nginx.process)
        )
        held_kib = worker.memory_kib()
        viewers = [
            await stack.enter_async_context(open_latency_viewer(behind.session, behind.address))
            for _ in range(VIEWER_COUNT)
        ]
        await asyncio.sleep(0.5)
        held_kib = worker.memory_kib() - held_kib
        before = running.cpu_s(), worker.cpu_s()
        for _ in range(EVENTS_PER_VIEWER):
            conductor.emit("a", "sheet.said", {"at": time.monotonic(), "text": PADDING})
            await asyncio.sleep(EVENT_INTERVAL_S)
        await asyncio.sleep(1.0)
        count = sum(len(viewer.latencies_s) for viewer in viewers)
        return {
            "lost": VIEWER_COUNT * EVENTS_PER_VIEWER - count,
            "server_us": 1e6 * (running.cpu_s() - before[0]) / count,
            "nginx_us": 1e6 * (worker.cpu_s() - before[1]) / count,
            "nginx_kib_a_viewer": held_kib / VIEWER_COUNT,
        }
