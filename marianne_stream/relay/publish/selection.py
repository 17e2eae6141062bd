"""What is watched on edges, and of which jobs the logs are published because of it."""

import asyncio
import contextlib
from collections.abc import Callable

from redis.asyncio import Redis

from marianne_stream.models import Roster
from marianne_stream.relay.connecting import asked
from marianne_stream.relay.crew import Crew
from marianne_stream.relay.format import Fields, InterestKind
from marianne_stream.relay.publish.log_publisher import LogPublisher
from marianne_stream.relay.publish.writer import Writer
from marianne_stream.relay.validation import parse_job_id

FORGOTTEN_S = 30.0

# How long one read waits for more; so long an interest may outlive its time.
BLOCK_S = 1.0

READ_AT_ONCE = 1000

# More are not served at once, whatever edges say.
MOST_INTERESTS = 2_000

# So long after a job has ended, the end of its log has been seen.
ENDING_S = 30.0

KINDS: dict[bytes, InterestKind] = {b"state": "state", b"log": "log"}


class Interest:
    """Who is interested in what, by the clock of this process.

    Args:
        on_change: called when something is watched that was not, or the other way round.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        # By kind and job, until when it counts.
        self._until: dict[tuple[InterestKind, str], float] = {}

    def jobs(self, kind: InterestKind) -> set[str]:
        """The jobs of which something is watched."""
        return {job_id for name, job_id in self._until if name == kind}

    async def run(self, client: Redis, key: str, now_s: int) -> None:
        """Hears what is said until cancelled.

        What was said before counts, too, where it is young enough by Redis' own clock, which the
        ids of entries are made of.

        Args:
            client: a client of Redis.
            key: the stream's.
            now_s: what that clock says.

        Raises:
            RedisError: Redis is away.
        """
        newest: str | bytes = f"{(now_s - int(FORGOTTEN_S)) * 1000}-0"
        while True:
            block_ms = int(BLOCK_S * 1000)
            answer = await asked(client.xread({key: newest}, count=READ_AT_ONCE, block=block_ms))
            before = set(self._until)
            for _, entries in answer or ():
                newest = entries[-1][0]
                for _, fields in entries:
                    self._hear(fields)
            self._forget()
            if self._until.keys() != before:
                self._on_change()

    def _hear(self, fields: Fields) -> None:
        kind = KINDS.get(fields.get(b"k", b""))
        # An edge may write anything: what is not an interest is none.
        with contextlib.suppress(ValueError):
            interest = (kind, parse_job_id(fields.get(b"j", b"")))
            if kind is not None and (interest in self._until or len(self._until) < MOST_INTERESTS):
                self._until[kind, interest[1]] = asyncio.get_running_loop().time() + FORGOTTEN_S

    def _forget(self) -> None:
        now = asyncio.get_running_loop().time()
        for what in [what for what, until in self._until.items() if until <= now]:
            del self._until[what]


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
        going_on = {i for i, entry in roster.entries.items() if not entry.is_terminal}
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
