"""Publishes what this server knows in Redis, as one more of its viewers.

It never keeps the server from serving: while Redis is away, it waits, and then goes on where the
streams end. It must not know who reads them.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Literal

from marianne_stream.errors import LockLostError, SourceNameInUseError
from marianne_stream.feeds.followed import LogFollowers
from marianne_stream.feeds.job_logs import FileLogLocator
from marianne_stream.jobs.watches import JobHub
from marianne_stream.models import Roster
from marianne_stream.relay.connecting import AWAY, check_primary, connected, hang_up, words
from marianne_stream.relay.crew import together
from marianne_stream.relay.keys import Keys
from marianne_stream.relay.publish.event_publisher import EventPublisher
from marianne_stream.relay.publish.lock import Attempt, Lock
from marianne_stream.relay.publish.log_publisher import Kept, LogPublisher
from marianne_stream.relay.publish.roster_publisher import RosterPublisher, news
from marianne_stream.relay.publish.selection import ChosenLogs, Interest
from marianne_stream.relay.publish.state_publisher import StatePublisher
from marianne_stream.relay.publish.writer import Command, Writer, Written
from marianne_stream.version import VERSION
from marianne_stream.wire.backoff import exponential_backoff
from marianne_stream.wire.redis_urls import redact_url

logger = logging.getLogger(__name__)

PublishedLogs = Literal["watched", "all"]

# How long the first look at the lock may take, and the last words.
BEGIN_LIMIT_S = 8.0
END_LIMIT_S = 1.0

# How often one asks whether another server has taken over.
MOVED_LOOK_S = 5.0

# How often one looks whether a lock is free that another relay has.
LOCK_LOOK_S = 1.0

# What goes well for so long has gone well.
STEADY_S = 3.0

# Logged although something else was logged before.
REFUSES = "does not publish"

FIRST_DELAY_S = 0.25
DELAY_CAP_S = 5.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where is published, and what.

    Attributes:
        url: of Redis.
        password: for it, in the place of the URL's; None for that.
        keys: the source's.
        origin_url: where files can be asked for; None for nowhere.
        logs: of which jobs the logs are published.
        kept: how much of each.
    """

    url: str
    password: str | None
    keys: Keys
    origin_url: str | None
    logs: PublishedLogs
    kept: Kept


class Publisher:
    """Publishes for as long as it runs and has the lock of its source.

    Args:
        target: where is published, and what.
        watches: who knows jobs, roster and events.
        job_logs: who finds logs.
        followed: who follows them.

    Attributes:
        publishing: whether it does so now.
        sessions: how often it began to.
        written: what it has written.
    """

    def __init__(
        self, target: Target, watches: JobHub, job_logs: FileLogLocator, followed: LogFollowers
    ) -> None:
        self._target = target
        self._keys = keys = target.keys
        self._watches = watches
        self._client = connected(target.url, target.password)
        self._lock = Lock(self._client, keys)
        self.publishing = False
        self.sessions = 0
        self.written = Written()
        self._begun: Attempt | None = None
        self._events = EventPublisher(watches.replay_buffer, keys)
        self._logs = LogPublisher(job_logs, followed, keys, target.kept)
        self._delays = exponential_backoff(first_s=FIRST_DELAY_S, cap_s=DELAY_CAP_S)
        # What was logged to be wrong; "" if nothing is.
        self._told = ""

    @property
    def published_logs(self) -> int:
        """How many logs are being published."""
        return len(self._logs)

    async def begin(self) -> None:
        """Makes sure that there is no other relay of this source, where Redis can say.

        Raises:
            SourceTakenError: there is another one, or data in another format.
        """
        try:
            async with asyncio.timeout(BEGIN_LIMIT_S):
                self._begun = await self._lock.first()
        except AWAY:
            # It is told when that is tried again.
            return
        except SourceNameInUseError:
            await self._hang_up()
            raise

    async def run(self) -> None:
        """Publishes until cancelled. No fault of Redis, or of this, ends it."""
        try:
            while True:
                try:
                    await self._publish()
                except LockLostError as error:
                    self._tell("publishes no more", error)
                except SourceNameInUseError as error:
                    self._tell(REFUSES, error)
                except AWAY as error:
                    self._tell("cannot publish, and will try again", error)
                except Exception:
                    # The server serves on, whatever fails here.
                    logger.exception("publishing failed, and is begun anew")
                await self._hang_up()
                await asyncio.sleep(next(self._delays))
        finally:
            await self._hang_up()

    async def _publish(self) -> None:
        """Publishes with one token, as long as that goes well; raises what ends it."""
        attempt, self._begun = self._begun or await self._lock.attempt(), None
        while not attempt.token:
            self._tell("waits to publish", "another relay has the lock")
            await asyncio.sleep(LOCK_LOOK_S)
            attempt = await self._lock.attempt()
        writer = Writer(self._client, self._keys.lock, attempt.token, attempt.now_s, self.written)
        try:
            self.publishing = True
            self.sessions += 1
            await self._publish_all(writer, attempt.now_s)
        finally:
            self.publishing = False
            await self._release(writer)

    async def _publish_all(self, writer: Writer, now_s: int) -> None:
        states = StatePublisher(self._watches, self._keys, writer)
        chosen = ChosenLogs(self._logs, writer, of_all=self._target.logs == "all")

        def on_roster(roster: Roster) -> None:
            states.on_roster(roster)
            chosen.on_roster(roster)

        def on_interest() -> None:
            states.on_interest(interest.jobs("state"))
            chosen.on_interest(interest.jobs("log"))

        interest = Interest(on_interest)
        roster = RosterPublisher(
            self._watches,
            self._keys,
            origin_url=self._target.origin_url,
            version=VERSION,
            on_roster=on_roster,
        )
        await together(
            writer.run(),
            self._lock.renew(writer),
            self._look_whether_moved(),
            self._logs.keep(writer),
            roster.run_about(writer),
            roster.run_roster(writer),
            self._events.run(writer),
            states.run(),
            chosen.run(),
            interest.run(self._client, self._keys.interest, now_s),
            self._go_steadily(),
        )

    async def _look_whether_moved(self) -> None:
        """Ends what goes on at a server that others have given up, which may answer all the same.

        Raises:
            RedisError: there is another one.
        """
        while True:
            await asyncio.sleep(MOVED_LOOK_S)
            await check_primary(self._client)

    async def _go_steadily(self) -> None:
        """After a while without a failure, the next is told, and soon tried again after."""
        await asyncio.sleep(STEADY_S)
        if self._told:
            logger.info("the relay of %r publishes again", self._keys.source)
        self._told = ""
        self._delays = exponential_backoff(first_s=FIRST_DELAY_S, cap_s=DELAY_CAP_S)

    def _tell(self, what: str, why: object) -> None:
        """One line an occurrence, however often it is tried again."""
        if not self._told or (what == REFUSES and self._told != what):
            url = redact_url(self._target.url)
            said = words(why) if isinstance(why, BaseException) else why
            logger.warning("the relay of %r at %s %s: %s", self._keys.source, url, what, said)
        self._told = what

    async def _release(self, writer: Writer) -> None:
        """Lets the next relay have the lock at once, where Redis can be told soon.

        In a task of its own: this one may be cancelled, in which nothing can be asked any more.
        """
        goodbye = asyncio.create_task(self._say_goodbye(writer))
        await asyncio.wait({goodbye}, timeout=END_LIMIT_S)
        goodbye.cancel()

    async def _say_goodbye(self, writer: Writer) -> None:
        with contextlib.suppress(LockLostError, *AWAY):
            about = Command("DEL", self._keys.about)
            await writer.write_now([about, news(self._keys, "status")])
            await writer.write_now([Command("DEL", self._keys.lock)])

    async def _hang_up(self) -> None:
        """Closes all connections: after a fault, none of them is to be trusted."""
        await hang_up(self._client)
