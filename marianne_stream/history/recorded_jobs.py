"""Jobs as they were recorded last, so that only their changes are recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from marianne_stream.history.records import JobRun
from marianne_stream.models import Sheet

# Largest numbers of jobs that are kept. Of others all is written again, which changes nothing.
MAX_OPEN_JOBS = 1000
MAX_ENDED_JOBS = 100


@dataclass(frozen=True, slots=True)
class RecordedJob:
    """A job as it was recorded last: its run, its status, its sheets by number."""

    run: str
    status: str = ""
    sheets: Mapping[int, Sheet] = field(default_factory=dict)


class RecordedJobs:
    """Keeps the jobs that were recorded last, in the order of their changes.

    Jobs that have ended are kept apart, so that those that are opened again and again displace none
    that goes on.
    """

    def __init__(self) -> None:
        self._open: dict[str, RecordedJob] = {}
        self._ended: dict[str, RecordedJob] = {}

    def get(self, job_id: str, run: str) -> RecordedJob | None:
        """Return a job if what is known of it is of this run."""
        job = self._open.get(job_id) or self._ended.get(job_id)
        return job if job is not None and job.run == run else None

    def set(self, job_id: str, job: RecordedJob, *, has_ended: bool) -> None:
        """Keep a job in place of what is known of it."""
        self._open.pop(job_id, None)
        self._ended.pop(job_id, None)
        jobs, limit = (self._ended, MAX_ENDED_JOBS) if has_ended else (self._open, MAX_OPEN_JOBS)
        jobs[job_id] = job
        if len(jobs) > limit:
            # The one that has not changed for longest.
            del jobs[next(iter(jobs))]

    def open_runs(self) -> frozenset[JobRun]:
        """Return the runs that have not ended."""
        return frozenset((job_id, job.run) for job_id, job in self._open.items())

    def discard(self, job_id: str, run: str) -> None:
        """Forget a run."""
        for jobs in (self._open, self._ended):
            if job_id in jobs and jobs[job_id].run == run:
                del jobs[job_id]

    def clear(self) -> None:
        """Forget all jobs."""
        self._open.clear()
        self._ended.clear()
