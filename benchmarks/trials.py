"""Trials: they take long, and end with a count of faults."""

import argparse
import sys
from pathlib import Path

from tests.support import log_torture


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
