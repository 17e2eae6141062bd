"""Combined streams of one job and the roster, against the same streams opened singly."""

import statistics
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from benchmarks.contestants import run_load, run_marianne

VIEWERS = 10_000
ROUNDS = 3

# More events a second than can be sent one by one to all viewers. In all no more than a stream
# begins with: a part may begin after the first of them.
EVENTS_PER_S = 20
DURATION_S = 2.0

# All events of a stream may come in one write, a while after they were sent.
QUIET_S = 3.0

# The streams that a combined stream has as its parts. They are opened one kind after the other:
# 30,000 connections are more than there are ports.
SINGLE_PATHS = {
    "roster": "/api/roster/stream",
    "status": "/api/jobs/a/stream",
    "events": "/api/jobs/a/events",
}
COMBINED_PATH = "/api/stream?part=roster&part=status%3Aa&part=events%3Aa"
PATHS = {**SINGLE_PATHS, "combined": COMBINED_PATH}

# Promises: memory of a combined stream to the sum of its parts', deliveries a second to those of
# single streams of events.
MAX_MEMORY_RATIO = 1.0
MIN_DELIVERY_RATIO = 0.85


async def combined(folder: Path) -> dict[str, float]:
    """10,000 combined streams of one job and the roster, in turns with the single streams.

    Faults are lost events, and ratios that break a promise.
    """
    return await measure_combined(folder, VIEWERS)


async def measure_combined(folder: Path, viewer_count: int) -> dict[str, float]:
    """Measure combined streams and their parts' streams with this many viewers each."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for turn in range(ROUNDS):
        for name, path in PATHS.items():
            (place := folder / f"{name}-{turn}").mkdir()
            rate = EVENTS_PER_S if name in ("events", "combined") else 0
            async with run_marianne(place) as running:
                contestant = replace(running, path=path)
                found[name].append(
                    await run_load(contestant, viewer_count, rate, DURATION_S, quiet_s=QUIET_S)
                )
    figures = {
        f"{name} kib_a_stream": take_median(runs, "kib_a_viewer") for name, runs in found.items()
    }
    for name in ("events", "combined"):
        for figure in ("deliveries_s", "p50_ms", "p99_ms", "cpu_us"):
            figures[f"{name} {figure}"] = take_median(found[name], figure)
    parts_kib = sum(figures[f"{name} kib_a_stream"] for name in SINGLE_PATHS)
    memory_ratio = figures["combined kib_a_stream"] / parts_kib
    delivery_ratio = figures["combined deliveries_s"] / figures["events deliveries_s"]
    lost = sum(one["lost"] for runs in found.values() for one in runs)
    return figures | {
        "memory to the sum of the parts": memory_ratio,
        "deliveries to single streams": delivery_ratio,
        "lost": lost,
        "faults": lost + (memory_ratio > MAX_MEMORY_RATIO) + (delivery_ratio < MIN_DELIVERY_RATIO),
    }


def take_median(runs: list[dict[str, float]], figure: str) -> float:
    """Return the median of a figure."""
    return statistics.median(run[figure] for run in runs)
