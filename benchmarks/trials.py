"""Trials: they take long, and end with a count of faults."""

import argparse
import resource
import sys
from bisect import bisect_right
from pathlib import Path

from marianne_stream.demo.conductor import SimulatedConductor
from tests.support import log_torture, restarting

# How many watch a restart, how long they are drained, and how soon the server is to have left.
WATCHERS = 2000
DRAIN_S = 3.0
EXIT_LIMIT_S = 5.0


async def torture(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """A log that is written while it rotates, viewers are cut off and the server is killed."""
    outcome = await log_torture.torture(
        folder, lines=options.lines, seed=options.seed, limit_s=600.0
    )
    faults = 0
    for place, viewer in enumerate(outcome.viewers):
        for fault in viewer.faults:
            sys.stdout.write(f"viewer {place}: {fault}\n")
        faults += len(viewer.faults) + (viewer.last_number != options.lines)
    return {
        "lines": options.lines,
        "kills": outcome.kills,
        "rotations": sum(outcome.rotations.values()),
        "reconnects": sum(viewer.cuts for viewer in outcome.viewers),
        "faults": faults,
    }


async def restart(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """A server that is restarted under 2,000 streams of a log, its socket kept open."""
    del options
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    try:
        outcome = await restarting.restart(
            folder, conductor, watchers=WATCHERS, drain_s=DRAIN_S, line_every_s=0.2
        )
    finally:
        await conductor.kill()
    faults = outcome.faults
    if outcome.code or outcome.exit_s > EXIT_LIMIT_S:
        faults.append(f"the server left with {outcome.code} after {outcome.exit_s:.1f} s")
    ends = [watcher.ended_at - outcome.told_at for watcher in outcome.watchers]
    returns = [watcher.returned_at - outcome.told_at for watcher in outcome.watchers]
    faults += crowding(returns)
    for fault in faults[:20]:
        sys.stdout.write(f"{fault}\n")
    return {
        "streams": len(outcome.watchers),
        "exit_s": outcome.exit_s,
        "first end_s": min(ends),
        "last end_s": max(ends),
        "first return_s": min(returns),
        "last return_s": max(returns),
        "most returns in 1 s": most_in_a_second(returns),
        "lines": outcome.last,
        "faults": len(faults),
    }


def crowding(returns_s: list[float]) -> list[str]:
    """What is wrong where most come back in one second: they are to be spread over the drain."""
    most = most_in_a_second(returns_s)
    if most <= len(returns_s) / 2:
        return []
    return [f"{most} of {len(returns_s)} came back within one second"]


def most_in_a_second(times_s: list[float]) -> int:
    """How many of some times lie within one second, at most."""
    ordered = sorted(times_s)
    return max(bisect_right(ordered, time + 1.0) - at for at, time in enumerate(ordered))
