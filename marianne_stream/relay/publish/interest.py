"""What is watched on edges: heard from a stream that they write, and forgotten after a while.

It must not know what is done about it.
"""

import asyncio
import contextlib
from collections.abc import Callable

from redis.asyncio import Redis

from marianne_stream.relay.connecting import asked
from marianne_stream.relay.format import Fields, InterestKind
from marianne_stream.relay.validation import parse_job_id

FORGOTTEN_S = 30.0

# How long one read waits for more; so long an interest may outlive its time.
BLOCK_S = 1.0

READ_AT_ONCE = 1000

# More are not served at once, whatever edges say.
MOST_INTERESTS = 2_000

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
