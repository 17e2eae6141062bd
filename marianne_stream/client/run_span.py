"""Span of a job's run, and how long it has worked: one figure for all commands."""

from typing import NamedTuple

from marianne_stream.client.api_models import JobBody, RunBody
from marianne_stream.client.facts import find_end_s
from marianne_stream.client.times import format_duration, parse_iso_time


class RunSpan(NamedTuple):
    """Span of a run, in epoch seconds; None for times that are unknown.

    Attributes:
        started_s: first start.
        ended_s: end; None while it goes on.
        waited_s: time in which it was paused, waited, or was over before a resume, in seconds,
            without the present wait.
        waiting_since_s: beginning of the present wait; None while it works.
    """

    started_s: float | None = None
    ended_s: float | None = None
    waited_s: float = 0.0
    waiting_since_s: float | None = None

    @classmethod
    def from_body(cls, body: JobBody | RunBody) -> "RunSpan":
        """Return the span of a job's present run, or of a recorded one."""
        waiting = body.waiting if isinstance(body, JobBody) else None
        return cls(
            parse_iso_time(body.started_at),
            parse_iso_time(body.completed_at),
            body.waited_s or 0.0,
            parse_iso_time(waiting.since) if waiting is not None else None,
        )

    def duration_s(self, status: str, now_s: float | None) -> float | None:
        """Return how long the run has worked, in seconds; None if its start or end is unknown.

        `now_s` is the time up to which its state is known, or None.
        """
        end_s = find_end_s(status, self.ended_s, now_s)
        if self.started_s is None or end_s is None:
            return None
        if self.ended_s is None and self.waiting_since_s is not None:
            end_s = self.waiting_since_s
        return max(0.0, end_s - self.started_s - self.waited_s)


def format_run_duration(body: JobBody | RunBody, now_s: float | None) -> str:
    """Format how long a run has worked; "" if it is unknown, see `RunSpan.duration_s`."""
    duration_s = RunSpan.from_body(body).duration_s(body.status, now_s)
    return "" if duration_s is None else format_duration(duration_s)
