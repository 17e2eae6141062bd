"""Trials: long runs that end with a count of faults."""

import argparse
import resource
import sys
from bisect import bisect_right
from pathlib import Path

from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support import log_torture, server_restart

# Viewers of a restart, duration of the drain, and time limit of the shutdown.
VIEWER_COUNT = 2000
DRAIN_TIMEOUT_S: float = Settings.model_fields["drain_timeout_s"].default
MAX_EXIT_S = 5.0


async def torture(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """A log that is written and rotated while viewers are cut off and the server is killed."""
    outcome = await log_torture.run_log_torture(
        folder, line_count=options.lines, seed=options.seed, timeout_s=600.0
    )
    faults = 0
    for place, viewer in enumerate(outcome.viewers):
        for fault in viewer.sequence_errors:
            sys.stdout.write(f"viewer {place}: {fault}\n")
        faults += len(viewer.sequence_errors) + (viewer.last_line_number != options.lines)
    return {
        "lines": options.lines,
        "kills": outcome.kills,
        "rotations": sum(outcome.rotations.values()),
        "reconnects": sum(viewer.reconnects for viewer in outcome.viewers),
        "faults": faults,
    }


async def restart(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """A restart of the server under 2,000 log streams with its socket kept open."""
    del options
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    conductor = SimulatedConductor(folder / "c.sock", registry=folder / "state.db")
    await conductor.start()
    try:
        outcome = await server_restart.restart_server(
            folder,
            conductor,
            viewer_count=VIEWER_COUNT,
            drain_s=DRAIN_TIMEOUT_S,
            line_interval_s=0.2,
        )
    finally:
        await conductor.kill()
    faults = outcome.errors
    if outcome.exit_code or outcome.exit_s > MAX_EXIT_S:
        faults.append(f"the server left with {outcome.exit_code} after {outcome.exit_s:.1f} s")
    ends = [watcher.disconnected_at - outcome.stopped_at for watcher in outcome.viewers]
    returns = [watcher.reconnected_at - outcome.stopped_at for watcher in outcome.viewers]
    faults += check_reconnect_spread(returns)
    for fault in faults[:20]:
        sys.stdout.write(f"{fault}\n")
    return {
        "streams": len(outcome.viewers),
        "exit_s": outcome.exit_s,
        "takeover_s": outcome.takeover_s,
        "first end_s": min(ends),
        "last end_s": max(ends),
        "first return_s": min(returns),
        "last return_s": max(returns),
        "most returns in 1 s": max_per_second(returns),
        "lines": outcome.last_line_number,
        "faults": len(faults),
    }


def check_reconnect_spread(reconnects_s: list[float]) -> list[str]:
    """Return an error if most reconnects fall in one second of the drain."""
    most = max_per_second(reconnects_s)
    if most <= len(reconnects_s) / 2:
        return []
    return [f"{most} of {len(reconnects_s)} came back within one second"]


def max_per_second(times_s: list[float]) -> int:
    """Return the largest number of times within one second."""
    ordered = sorted(times_s)
    return max(bisect_right(ordered, time + 1.0) - at for at, time in enumerate(ordered))
