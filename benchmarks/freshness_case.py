"""Freshness: latency of a change at the conductor, by subscription and by visits."""

import asyncio
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.changing_conductor import Change
from benchmarks.processes import MeasuredProcess, run_python, run_server
from marianne_stream.wire.sse import EventParser

# The part of a roster entry that shows each kind of change.
FIELD_BY_CHANGE = {
    "start": "status",
    "end": "status",
    "pause": "status",
    "cancel": "status",
    "count": "completed_sheets",
    "sheet": "current_sheet",
}

SeenAt = dict[tuple[str, str, str | int], float]


async def freshness(folder: Path) -> dict[str, float]:
    """Latency of each kind of change to a viewer of the roster, by subscription and by visits.

    Unseen changes were overtaken by the job's next change: a sheet that completed before anything
    reported its start.
    """
    figures: dict[str, float] = {}
    for way in ("auto", "visits"):
        (place := folder / way).mkdir()
        changes, seen = await record_changes(place, way)
        times: defaultdict[str, list[float]] = defaultdict(list)
        for kind, job_id, value, made_at in changes:
            seen_at = seen.get((FIELD_BY_CHANGE[kind], job_id, value))
            if seen_at is not None:
                times[kind].append(1000 * (seen_at - made_at))
        for kind in FIELD_BY_CHANGE:
            cuts = statistics.quantiles(times[kind], n=100, method="inclusive")
            figures[f"{way} {kind} p50_ms"] = cuts[49]
            figures[f"{way} {kind} p99_ms"] = cuts[98]
            figures[f"{way} {kind} changes"] = len(times[kind])
            wanted = sum(change[0] == kind for change in changes)
            figures[f"{way} {kind} unseen"] = wanted - len(times[kind])
    return figures


async def record_changes(folder: Path, conductor_events: str) -> tuple[list[Change], SeenAt]:
    """Play all changes; return them, and the time at which a viewer first saw each value."""
    script = Path(__file__).with_name("changing_conductor.py")
    async with (
        run_python(script, folder / "c.sock", folder / "state.db") as conductor,
        run_server(folder, "--conductor-events", conductor_events) as running,
        aiohttp.ClientSession(f"{running.address}/") as session,
        session.get("api/roster/stream?details=true") as response,
    ):
        seen: SeenAt = {}
        watching = asyncio.create_task(record_entries(response, seen))
        try:
            return await play_changes(conductor), seen
        finally:
            watching.cancel()
            await asyncio.wait([watching])


async def play_changes(conductor: MeasuredProcess) -> list[Change]:
    """Start the conductor's changes and return them at the end."""
    if conductor.process.stdin is None or conductor.process.stdout is None:
        raise RuntimeError("the process was started without pipes")
    # By then the subscription has begun, if there is one.
    await asyncio.sleep(1.0)
    conductor.process.stdin.write(b"begin\n")
    changes: list[Change] = [
        tuple(change) for change in json.loads(await conductor.process.stdout.readline())
    ]
    return changes


async def record_entries(response: aiohttp.ClientResponse, seen: SeenAt) -> None:
    """Record the time of each job's values until cancelled."""
    parser = EventParser()
    async for chunk in response.content.iter_any():
        now = time.monotonic()
        for event in parser.feed(chunk):
            if event.event == "roster":
                for entry in json.loads(event.data)["jobs"]:
                    record_entry(entry, now, seen)


def record_entry(entry: dict[str, Any], now_s: float, seen: SeenAt) -> None:
    """Record the values of one roster entry."""
    for field in set(FIELD_BY_CHANGE.values()):
        seen.setdefault((field, entry["job_id"], entry[field]), now_s)
