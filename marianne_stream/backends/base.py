"""Interface of the backends, from which the state of jobs is read."""

from typing import Protocol

from marianne_stream.models import JobState, Roster, RosterEntry


class Backend(Protocol):
    """A source of job state. Cancelling a call is safe."""

    async def read_roster(self) -> Roster:
        """Return all jobs that the backend lists; raise StateUnavailableError if it cannot."""

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """Return the full state of a job.

        Args:
            job_id: the job, escaped as in `wire.job_ids`.
            entry: the job's entry in the newest roster; None if it has none. Its status is right
                where it differs from the checkpoint's.

        Raises:
            JobNotFoundError: the backend was read, and there is no such job.
            StateUnavailableError: the backend cannot be read, or its answer is invalid.
        """

    async def read_checkpoint(self, job_id: str) -> bytes:
        """Return the checkpoint of a job as JSON; raises as `read_job` does."""

    async def close(self) -> None:
        """Release open resources. The backend can be read again afterwards."""
