"""History of the jobs' states as clients could see them, for tests."""

import asyncio
import time

from marianne_stream.demo.checkpoint_fields import JsonObject
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.simulated_conductor import SimulatedConductor


def make_state(time_s: float, status: str | None, result: JsonObject) -> JsonObject:
    """Return one state of a job.

    Args:
        time_s: time at which the state began.
        status: status in the roster; None for a removed job.
        result: result of `job.status`.

    Returns:
        `t`, `status`, `completed`, `total` (None without a checkpoint), and `sheets`, the status of
            each sheet by its number as a string.
    """
    sheets = {number: sheet["status"] for number, sheet in result.get("sheets", {}).items()}
    return {
        "t": time_s,
        "status": status,
        "completed": sum(sheet == "completed" for sheet in sheets.values()),
        "total": result.get("total_sheets"),
        "sheets": sheets,
    }


def recorded_states(recording: Recording) -> dict[str, list[JsonObject]]:
    """Return the states of each job in order, with the recording's times."""
    states: dict[str, list[JsonObject]] = {}
    for entry in recording.entries:
        if entry.method == "job.status" and "result" in entry.message:
            result = entry.message["result"]
            state = make_state(entry.time_s, result["status"], result)
            states.setdefault(entry.job_id, []).append(state)
    return states


def states_differ(first: JsonObject, second: JsonObject) -> bool:
    """Return whether two states differ in more than their time."""
    return {**first, "t": 0} != {**second, "t": 0}


class StateHistory:
    """Records each state of each job of a conductor, with monotonic times.

    Changes without an await between them are one: no client could see a state between them.
    """

    def __init__(self, conductor: SimulatedConductor) -> None:
        self.job_states: dict[str, list[JsonObject]] = {}
        self._conductor = conductor
        self._changed_jobs: set[str] = set()
        conductor.job_listeners.append(self._on_change)

    def _on_change(self, job_id: str) -> None:
        if not self._changed_jobs:
            asyncio.get_running_loop().call_soon(self._record_changes)
        self._changed_jobs.add(job_id)

    def _record_changes(self) -> None:
        for job_id in self._changed_jobs:
            job = self._conductor.jobs.get(job_id)
            answer = {} if job is None else job.status_result()
            now = make_state(time.monotonic(), None if job is None else job.status, answer)
            states = self.job_states.setdefault(job_id, [])
            if not states or states_differ(states[-1], now):
                states.append(now)
        self._changed_jobs.clear()
