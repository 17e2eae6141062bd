"""Simulated conductor whose jobs change: `changing_conductor.py SOCKET REGISTRY`.

It begins with the first line of its standard input and prints one line of JSON at the end: the
kind, job, visible value and monotonic time of each change. It is a separate process, so that its
work does not delay the viewer.
"""

import asyncio
import json
import random
import sys
import time
from pathlib import Path

from marianne_stream.demo.simulated_conductor import SimulatedConductor

JOB_COUNT = 8
ROUND_COUNT = 2
SHEET_COUNT = 4

Change = tuple[str, str, str | int, float]


class JobPlayer:
    """Jobs that start, run their sheets, pause, resume and end.

    Args:
        conductor: the conductor, which sends `job.started`, `job.resuming` and `job.completed`.
    """

    def __init__(self, conductor: SimulatedConductor) -> None:
        self._conductor = conductor
        self._rng = random.Random(7)
        self.changes: list[Change] = []

    async def play(self, slot: int) -> None:
        """Run one job after the other; half of them complete, the others are cancelled."""
        await self._sleep(0.0, 2.0)
        for number in range(ROUND_COUNT):
            job_id = f"job-{slot}-{number}"
            self._record("start", job_id, "running")
            self._conductor.launch(job_id, SHEET_COUNT)
            for sheet in range(1, SHEET_COUNT + 1):
                await self._sleep(0.3, 0.9)
                self._record("sheet", job_id, sheet)
                self._conductor.dispatch(job_id, sheet)
                await self._sleep(1.0, 1.5)
                self._record("count", job_id, sheet)
                self._conductor.complete_sheet(job_id, sheet)
            await self._sleep(0.5, 1.0)
            self._record("pause", job_id, "paused")
            self._conductor.pause(job_id)
            await self._sleep(0.5, 1.0)
            self._conductor.resume(job_id)
            await self._sleep(0.5, 1.0)
            if (slot + number) % 2:
                self._record("cancel", job_id, "cancelled")
                self._conductor.cancel(job_id)
            else:
                self._record("end", job_id, "completed")
                self._conductor.finish(job_id)
            await self._sleep(0.5, 1.0)

    def _record(self, kind: str, job_id: str, value: str | int) -> None:
        self.changes.append((kind, job_id, value, time.monotonic()))

    async def _sleep(self, min_s: float, max_s: float) -> None:
        await asyncio.sleep(self._rng.uniform(min_s, max_s))


async def main(path: str, registry: str) -> None:
    """Listen, wait for the first line, and play."""
    conductor = SimulatedConductor(Path(path), registry=Path(registry))
    await conductor.start()
    sys.stdout.write(f"ready {path}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    jobs = JobPlayer(conductor)
    await asyncio.gather(*(jobs.play(slot) for slot in range(JOB_COUNT)))
    await asyncio.sleep(1.0)
    sys.stdout.write(json.dumps(jobs.changes) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    await conductor.kill()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
