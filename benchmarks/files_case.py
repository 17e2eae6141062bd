"""Files: lists of a large workspace that changes all the time, and `/health` meanwhile."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.hostile_case import longest_health
from benchmarks.processes import run_python, run_server
from marianne_stream.demo.simulated_conductor import SimulatedConductor

FOLDERS, FILES_PER_FOLDER = 100, 1000

# Lists of each order; the first is left out: it fills the cache of the file system.
LISTS = 21

# Changes 1,000 files a second, ten at a time, until it is ended.
CHANGE_SCRIPT = """
import pathlib, random, sys, time
folder, folders, files = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
due = time.monotonic()
while True:
    for _ in range(10):
        number = random.randrange(folders), random.randrange(files)
        with (folder / f"folder-{number[0]:03}" / f"file-{number[1]:04}.txt").open("a") as file:
            file.write("one more line\\n")
    due += 0.01
    time.sleep(max(0, due - time.monotonic()))
"""


async def files(folder: Path) -> dict[str, float]:
    """Lists of 20,000 of 100,000 files, 1,000 of which change a second."""
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    try:
        workspace = folder / "work"
        await asyncio.to_thread(make_files, workspace)
        conductor.launch("large", 1, workspace=str(workspace))
        async with (
            run_server(folder, "--data-dir", folder / "data") as running,
            run_python("-c", CHANGE_SCRIPT, workspace, FOLDERS, FILES_PER_FOLDER),
        ):
            url = f"{running.address}/api/jobs/large/files?limit=20000&sort="
            found: dict[str, float] = {}
            for sort in ("name", "change"):
                times = await measure_lists(url + sort)
                found[f"{sort}_median_ms"] = 1000 * statistics.median(times)
                found[f"{sort}_worst_ms"] = 1000 * max(times)
            before_kib = running.memory_kib()
            async with listing_repeatedly(url + "change"):
                found["health_ms"] = 1000 * await longest_health(running.address)
            found["grown_mib"] = (running.memory_kib() - before_kib) / 1024
            found["memory_mib"] = running.memory_kib() / 1024
            return found
    finally:
        await conductor.kill()


def make_files(workspace: Path) -> None:
    """Fill a workspace."""
    for number in range(FOLDERS):
        (place := workspace / f"folder-{number:03}").mkdir(parents=True)
        for other in range(FILES_PER_FOLDER):
            (place / f"file-{other:04}.txt").write_text("a line\n")


async def measure_lists(url: str) -> list[float]:
    """Return the times of lists, each with its transfer, in seconds."""
    times = []
    async with aiohttp.ClientSession() as session:
        for _ in range(LISTS):
            began = time.perf_counter()
            await read_list(session, url)
            times.append(time.perf_counter() - began)
    return times[1:]


async def read_list(session: aiohttp.ClientSession, url: str) -> None:
    """Get a list."""
    async with session.get(url) as response:
        response.raise_for_status()
        await response.read()


@asynccontextmanager
async def listing_repeatedly(url: str) -> AsyncIterator[None]:
    """Have two clients get lists without a pause."""

    async def list_forever() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                await read_list(session, url)

    tasks = [asyncio.create_task(list_forever()) for _ in range(2)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
