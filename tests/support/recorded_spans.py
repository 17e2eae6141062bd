"""Spans of the sheets in a recording, and how precisely a server can know them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from marianne_stream.demo.recording import Recording
from marianne_stream.models import TERMINAL_STATUSES
from tests.support.state_history import recorded_states

NOT_STARTED = ("pending", "ready", "skipped")
ENDED = ("completed", "failed", "cancelled")

# The recording asks for roster and jobs each 0.2 s, one after the other.
SAME_CHANGE_S = 0.25


@dataclass(frozen=True, slots=True)
class Edge:
    """Start or end of a sheet, in seconds of the recording.

    `is_announced` tells whether the job's roster entry changes with it.
    """

    time_s: float
    is_announced: bool


@dataclass(slots=True)
class RecordedSpan:
    """Span of a sheet from its first dispatch to its end; None for an edge that was not recorded.

    `statuses` are those of the sheet, in order.
    """

    start: Edge | None = None
    end: Edge | None = None
    statuses: tuple[str, ...] = ()


def recorded_spans(recording: Recording) -> dict[str, dict[int, RecordedSpan]]:
    """Return the spans of the sheets that were executed in the recording, by job and number."""
    changes = roster_changes(recording)
    found = {
        job_id: job_spans(states, changes[job_id])
        for job_id, states in recorded_states(recording).items()
    }
    return {job_id: spans for job_id, spans in found.items() if spans}


def roster_changes(recording: Recording) -> defaultdict[str, list[float]]:
    """Return the times of the changes of each job's roster entry."""
    changes: defaultdict[str, list[float]] = defaultdict(list)
    last: dict[str, object] = {}
    for entry in recording.entries:
        if entry.method != "job.list":
            continue
        for job in entry.message["result"]:
            seen = (job["status"], job.get("progress_completed"), job["submitted_at"])
            if last.get(job["job_id"]) != seen:
                last[job["job_id"]] = seen
                changes[job["job_id"]].append(entry.time_s)
    return changes


def job_spans(states: Iterable[dict[str, Any]], changes: list[float]) -> dict[int, RecordedSpan]:
    """Return the spans of a job's last run; sheets of jobs that have ended before have none."""
    spans: dict[int, RecordedSpan] = {}
    is_running = False
    for state in states:
        is_over = state["status"] in TERMINAL_STATUSES
        if is_over and not is_running:
            continue
        if not is_running:
            spans = {}
        is_running = not is_over
        edge = Edge(state["t"], any(abs(state["t"] - at) <= SAME_CHANGE_S for at in changes))
        for number, status in state["sheets"].items():
            if status not in NOT_STARTED:
                span = spans.setdefault(int(number), RecordedSpan())
                update_span(span, "stopped" if is_over and status not in ENDED else status, edge)
    return spans


def update_span(span: RecordedSpan, status: str, edge: Edge) -> None:
    """Update a span with a status of its sheet, which may be the same as before."""
    if span.statuses and span.statuses[-1] == status:
        return
    if status in (*ENDED, "stopped"):
        span.end = edge
    elif span.start is None:
        span.start = edge
    span.statuses += (status,)
