"""View of a conductor for clients: information about it, and which of its jobs wait."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from marianne_stream.conductor_models import ConductorInfo, RateLimit
from marianne_stream.jobs.waiting import find_waiting_status
from marianne_stream.models import Roster, RosterDetails, Waiting, format_iso_time
from marianne_stream.schemas.conductor_schemas import ConductorData, RateLimitData
from marianne_stream.schemas.job_schemas import WaitingJob
from marianne_stream.wire import sse
from marianne_stream.wire.job_patterns import JobPatterns

# Limit of the jobs in an event.
MAX_WAITING_JOBS = 200


class WaitingEntry(NamedTuple):
    """A job that waits. There may be tens of thousands, of which clients get the first."""

    job_id: str
    status: str
    waiting: Waiting


@dataclass(frozen=True, slots=True)
class ConductorView:
    """View of one conductor.

    Views that only differ in memory and load are equal.

    Attributes:
        prefix: first part of the ids of its jobs; "" if they have none.
        info: information about it.
        waiting: its jobs that wait.
    """

    prefix: str
    info: ConductorInfo
    waiting: tuple[WaitingEntry, ...] = ()

    @property
    def source_name(self) -> str | None:
        """Name of the source; None unless there are several."""
        return self.prefix.removesuffix(":") or None

    def restrict_to(self, patterns: JobPatterns) -> "ConductorView":
        """Return the view for a client that may see some jobs only."""
        if patterns.matches_all:
            return self
        return ConductorView(
            self.prefix,
            ConductorInfo(version=self.info.version, limits=self.info.limits),
            tuple(job for job in self.waiting if patterns(job.job_id)),
        )

    def to_data(self) -> ConductorData:
        """Return the data of its event."""
        values = {field.name: getattr(self.info, field.name) for field in fields(self.info)}
        values["started_at"] = format_iso_time(self.info.started_at)
        if self.info.rate_limits is not None:
            values["rate_limits"] = tuple(map(make_rate_limit_data, self.info.rate_limits))
        waiting = tuple(
            WaitingJob(job_id=job.job_id, status=job.status, waiting=job.waiting)
            for job in self.waiting[:MAX_WAITING_JOBS]
        )
        return ConductorData(source_name=self.source_name, waiting=waiting, **values)


def make_rate_limit_data(limit: RateLimit) -> RateLimitData:
    """Return the payload of a rate limit."""
    return RateLimitData(instrument=limit.instrument, until=format_iso_time(limit.until))


def restrict_views(
    views: Iterable[ConductorView], patterns: JobPatterns
) -> tuple[ConductorView, ...]:
    """Return the restricted views of the conductors that may have a client's jobs."""
    return tuple(
        view.restrict_to(patterns) for view in views if patterns.may_match_prefix(view.prefix)
    )


def make_views(
    infos: Mapping[str, ConductorInfo], waiting: Iterable[WaitingEntry]
) -> tuple[ConductorView, ...]:
    """Return the views of all conductors, by the prefixes of their jobs.

    A prefix ends with the first colon; without one it is empty, and there is one conductor.
    """
    jobs = tuple(waiting)
    by_prefix: defaultdict[str, list[WaitingEntry]] = defaultdict(list)
    for job in jobs:
        by_prefix[job.job_id[: job.job_id.find(":") + 1]].append(job)
    return tuple(
        ConductorView(prefix, info, tuple(by_prefix[prefix]) if prefix else jobs)
        for prefix, info in sorted(infos.items())
    )


def make_conductor_frames(
    views: Iterable[ConductorView], known: Iterable[ConductorView] = ()
) -> bytes:
    """Make a `conductor` event for each view that a client does not know."""
    known = frozenset(known)
    return b"".join(
        sse.frame(view.to_data().json_bytes(), event="conductor")
        for view in views
        if view not in known
    )


def find_waiting_jobs(
    roster: Roster, details: Mapping[str, RosterDetails]
) -> tuple[WaitingEntry, ...]:
    """Return the jobs that wait: by their details, else by their status."""
    found = []
    for entry in roster.entries.values():
        if entry.is_terminal:
            continue
        known = details.get(entry.job_id)
        waiting = (known and known.waiting) or find_waiting_status(entry.status)
        if waiting is not None:
            found.append(WaitingEntry(entry.job_id, entry.status, waiting))
    return tuple(found)
