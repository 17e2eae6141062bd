"""What every source of state offers. It must not know who asks, or how often."""

from typing import Protocol

from marianne_stream.models import JobState, Roster, RosterEntry


class Backend(Protocol):
    """A place that knows jobs. Cancelling a call is safe."""

    async def read_roster(self) -> Roster:
        """All jobs that the source lists.

        Raises:
            StateUnavailableError: the source cannot be asked.
        """
        ...

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """One job, whole.

        Args:
            job_id: the job, in its written form (`wire.job_ids`).
            entry: what the newest roster says of it, None where it says nothing. Its status is
                right where the two differ.

        Raises:
            JobNotFoundError: the source was asked, and there is no such job.
            StateUnavailableError: the source cannot be asked, or what it says cannot be read.
        """
        ...

    async def close(self) -> None:
        """Let go of what is open. The source can be asked again afterwards."""
        ...
