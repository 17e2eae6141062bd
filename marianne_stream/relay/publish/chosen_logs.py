"""Of which jobs the logs are published. It must not know how that is done."""

import asyncio

from marianne_stream.models import Roster
from marianne_stream.relay.crew import Crew
from marianne_stream.relay.publish.log_publisher import LogPublisher
from marianne_stream.relay.publish.writer import Writer

# So long after a job has ended, the end of its log has been seen.
ENDING_S = 30.0


class ChosenLogs:
    """Has the logs published of those jobs of which they are to be.

    Args:
        logs: who publishes one.
        writer: who writes it.
        of_all: whether the logs of all jobs that run are published, or of those only that are asked
            for.
    """

    def __init__(self, logs: LogPublisher, writer: Writer, *, of_all: bool) -> None:
        self._crew = Crew(lambda job_id: logs.publish(job_id, writer))
        self._of_all = of_all
        # Of all jobs that run or ran, until when their logs are published.
        self._until: dict[str, float] = {}
        self._asked_for: set[str] = set()

    def on_roster(self, roster: Roster) -> None:
        """Takes the newest roster in."""
        if not self._of_all:
            return
        going_on = {i for i, entry in roster.entries.items() if not entry.terminal}
        now = asyncio.get_running_loop().time()
        for job_id, until in list(self._until.items()):
            if until < now:
                del self._until[job_id]
            elif job_id not in going_on:
                self._until[job_id] = min(until, now + ENDING_S)
        self._until.update(dict.fromkeys(going_on, float("inf")))
        self._choose()

    def on_interest(self, job_ids: set[str]) -> None:
        """Takes in whose logs somebody asks for."""
        self._asked_for = job_ids
        self._choose()

    async def run(self) -> None:
        """Publishes until cancelled; raises as `Writer.write` does."""
        await self._crew.run()

    def _choose(self) -> None:
        self._crew.want(self._until.keys() | self._asked_for)
