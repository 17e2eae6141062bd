"""Streams through Redis: an edge beside the publishing server, with several workers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.contestants import Contestant, run_load, run_marianne
from benchmarks.processes import MeasuredProcess, run_python, run_server
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.redis_server import RedisServer, run_redis

SOURCE = "here"

# More events a second than can be sent one by one, for enough viewers to show that.
VIEWER_COUNT, EVENTS_PER_S, DURATION_S = 1000, 400, 3.0


@asynccontextmanager
async def run_edge_with_origin(folder: Path, workers: int = 1) -> AsyncIterator[Contestant]:
    """Run an edge of another server that publishes."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()

    async def publish(text: str) -> None:
        conductor.emit("a", "sheet.said", {"text": text})

    try:
        conductor.launch("a", 1)
        async with (
            run_redis(folder) as redis,
            run_server(folder, "--publish-url", redis.url, "--source-name", SOURCE),
            run_edge(redis, workers) as running,
        ):
            path = "/api/events/stream?limit=0"
            yield Contestant(running, running.address, path, publish)
    finally:
        await conductor.kill()


@asynccontextmanager
async def run_edge(redis: RedisServer, workers: int = 1) -> AsyncIterator[MeasuredProcess]:
    """Run an edge and wait until it has the job."""
    async with run_python(
        *("-m", "marianne_stream", "--port", 0, "--no-auth", "--log-level", "error"),
        *("--state-backend", "redis", "--redis-url", redis.url, "--sources", SOURCE),
        *("--workers", workers, "--max-streams-per-address", 20_000),
    ) as running:
        await wait_for_job(running.address)
        yield running


async def wait_for_job(address: str) -> None:
    """Wait until an edge has the job."""
    async with aiohttp.ClientSession() as session:
        for _ in range(200):
            async with session.get(f"{address}/api/jobs/a") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.05)
    raise RuntimeError(f"nobody has told {address} of the job")


async def relay(folder: Path) -> dict[str, float]:
    """Latency and deliveries: of the server, of an edge, and of an edge with two workers."""
    ways: dict[str, Callable[[Path], AbstractAsyncContextManager[Contestant]]] = {
        "direct": run_marianne,
        "edge": run_edge_with_origin,
        "two_workers": lambda place: run_edge_with_origin(place, 2),
    }
    figures: dict[str, float] = {}
    for name, way in ways.items():
        (place := folder / name).mkdir()
        async with way(place) as running:
            quiet = await run_load(running, 1, 100, DURATION_S)
            busy = await run_load(running, VIEWER_COUNT, EVENTS_PER_S, DURATION_S)
        figures |= {
            f"{name} delay p50_ms": quiet["p50_ms"],
            f"{name} delay p99_ms": quiet["p99_ms"],
            f"{name} deliveries_s": busy["deliveries_s"],
            f"{name} p99_ms": busy["p99_ms"],
            f"{name} lost": busy["lost"] + quiet["lost"],
        }
    return figures
