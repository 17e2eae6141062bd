"""What a job went through, as a client could have asked for it: what tests compare viewers with.

It reads jobs and answers. It must not know who plays them.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from marianne_stream.demo.checkpoint import Fields

if TYPE_CHECKING:
    from marianne_stream.demo.conductor import SimulatedConductor


def moment(time_s: float, status: str | None, answer: Fields) -> Fields:
    """Give one state of a job.

    Args:
        time_s: when it began.
        status: the roster's; None for a job that is gone.
        answer: what `job.status` answers with then.

    Returns:
        `t`, `status`, `completed`, `total` (None without a checkpoint), and `sheets`, the status
        of each by its number as a string.
    """
    sheets = {number: sheet["status"] for number, sheet in answer.get("sheets", {}).items()}
    return {
        "t": time_s,
        "status": status,
        "completed": sum(sheet == "completed" for sheet in sheets.values()),
        "total": answer.get("total_sheets"),
        "sheets": sheets,
    }


def differs(one: Fields, other: Fields) -> bool:
    """Say whether two states differ in more than their time."""
    return {**one, "t": 0} != {**other, "t": 0}


class TruthRecorder:
    """Writes down each state of each job of a conductor, from now on.

    Changes that are made with nothing awaited between are one: nobody could ask in between. The
    time is the monotonic clock's.
    """

    def __init__(self, conductor: "SimulatedConductor") -> None:
        self.truth: dict[str, list[Fields]] = {}
        self._conductor = conductor
        self._changed: set[str] = set()
        conductor.listeners.append(self._hear)

    def _hear(self, job_id: str) -> None:
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._write_down)
        self._changed.add(job_id)

    def _write_down(self) -> None:
        for job_id in self._changed:
            job = self._conductor.jobs.get(job_id)
            answer = {} if job is None else job.status_answer()
            now = moment(time.monotonic(), None if job is None else job.status, answer)
            states = self.truth.setdefault(job_id, [])
            if not states or differs(states[-1], now):
                states.append(now)
        self._changed.clear()
