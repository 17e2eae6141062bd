"""Conductor of many running jobs that change evenly: `recording_conductor.py SOCKET`.

Each line of its standard input is answered with one line of JSON: the requests until now. It is a
separate process, so that its work is not measured.
"""

import asyncio
import json
import sys
from pathlib import Path

from marianne_stream.demo.simulated_conductor import SimulatedConductor

JOB_COUNT = 200
SHEET_COUNT = 24
STATE_BYTES = 60 * 1024

# Two changes of each job in 20 s are 20 changes a second.
SHEET_S = 18.0
DISPATCH_DELAY_S = 2.0


async def change_job(conductor: SimulatedConductor, job_id: str, first_end_s: float) -> None:
    """Complete the sheets of a job; each is dispatched a moment after the one before."""
    conductor.dispatch(job_id, 1)
    await asyncio.sleep(first_end_s)
    for sheet in range(1, SHEET_COUNT):
        conductor.complete_sheet(job_id, sheet)
        await asyncio.sleep(DISPATCH_DELAY_S)
        conductor.dispatch(job_id, sheet + 1)
        await asyncio.sleep(SHEET_S)


async def main(path: str) -> None:
    """Listen, and change the jobs until the process is killed."""
    conductor = SimulatedConductor(Path(path))
    await conductor.start()
    changing = []
    for number in range(JOB_COUNT):
        conductor.launch(job_id := f"job-{number}", SHEET_COUNT).pad(STATE_BYTES)
        first_end_s = (SHEET_S + DISPATCH_DELAY_S) * number / JOB_COUNT
        changing.append(asyncio.create_task(change_job(conductor, job_id, first_end_s)))
    sys.stdout.write(f"ready {path}\n")
    sys.stdout.flush()
    while await asyncio.to_thread(sys.stdin.readline):
        sys.stdout.write(json.dumps({"requests": conductor.statistics.requests.total()}) + "\n")
        sys.stdout.flush()
    for task in changing:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
