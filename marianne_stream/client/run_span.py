"""Span of a job's run, and how long it has worked: one figure for all commands."""

from typing import NamedTuple

from marianne_stream.client.api_models import JobBody, RunBody
from marianne_stream.client.facts import find_end_s
from marianne_stream.client.times import parse_iso_time
from marianne_stream.common.durations import format_duration

PAUSED_STATUSES = frozenset({"paused", "paused_at_chain"})


class RunSpan(NamedTuple):
    """Span of a run, in epoch seconds; None for times that are unknown.

    Attributes:
        started_s: first start.
        ended_s: end; None while it goes on.
        waited_s: time in which it was paused, waited, or was over before a resume, in seconds,
            without the present wait.
        is_waiting: whether it waits now, as far as that is known.
        waiting_since_s: beginning of that wait.
    """

    started_s: float | None = None
    ended_s: float | None = None
    waited_s: float = 0.0
    is_waiting: bool = False
    waiting_since_s: float | None = None

    @classmethod
    def from_body(cls, body: JobBody | RunBody) -> "RunSpan":
        """Return the span of a job's present run, or of a recorded one."""
        started_s, ended_s = parse_iso_time(body.started_at), parse_iso_time(body.completed_at)
        since_s = find_wait_s(body) if isinstance(body, JobBody) else None
        is_waiting = since_s is not None or is_untold_wait(body)
        return cls(started_s, ended_s, body.waited_s or 0.0, is_waiting, since_s)

    def duration_s(self, status: str, now_s: float | None) -> float | None:
        """Return how long the run has worked, in seconds; None if its start or end is unknown.

        `now_s` is the time up to which its state is known, or None.
        """
        end_s = find_end_s(status, self.ended_s, now_s)
        if self.is_waiting and self.ended_s is None and end_s is not None:
            end_s = self.waiting_since_s
        if self.started_s is None or end_s is None:
            return None
        return max(0.0, end_s - self.started_s - self.waited_s)


def find_wait_s(job: JobBody) -> float | None:
    """Return since when a job waits, in epoch seconds; None if it works, or if that is unknown."""
    since = job.waiting.since if job.waiting is not None else None
    if since is None and is_untold_wait(job):
        since = job.last_progress_at
    return parse_iso_time(since)


def is_untold_wait(body: JobBody | RunBody) -> bool:
    """Return whether a job is paused, and the body cannot tell since when.

    Bodies that can tell no wait while a sheet of a paused job is still at work.
    """
    can_tell = isinstance(body, JobBody) and body.waited_s is not None
    return body.status in PAUSED_STATUSES and not can_tell


def format_run_duration(body: JobBody | RunBody, now_s: float | None) -> str:
    """Format how long a run has worked; "" if it is unknown, see `RunSpan.duration_s`."""
    duration_s = RunSpan.from_body(body).duration_s(body.status, now_s)
    return "" if duration_s is None else format_duration(duration_s)
