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
from marianne_stream.feeds.log_follower import LogFollowers
from marianne_stream.feeds.log_locator import FileLogLocator
from marianne_stream.jobs.hub import JobHub
from marianne_stream.models import Roster
from marianne_stream.relay.publish.event_publisher import EventPublisher
from marianne_stream.relay.publish.lock import LockResult, SourceLock
from marianne_stream.relay.publish.log_publisher import LogPublisher, LogRetention
from marianne_stream.relay.publish.roster_publisher import RosterPublisher, make_change_command
from marianne_stream.relay.publish.selection import InterestTracker, PublishedLogSet
from marianne_stream.relay.publish.state_publisher import StatePublisher
from marianne_stream.relay.publish.writer import Command, Writer, WriteStats
from marianne_stream.relay.redis_client import (
    REDIS_ERRORS,
    close_connections,
    describe_error,
    ensure_same_primary,
    make_client,
)
from marianne_stream.relay.redis_keys import SourceKeys
from marianne_stream.relay.task_set import run_until_first_failure
from marianne_stream.version import VERSION
from marianne_stream.wire.backoff import exponential_backoff
from marianne_stream.wire.redis_urls import redact_url

logger = logging.getLogger(__name__)

LogSelection = Literal["watched", "all"]

# How long the first look at the lock may take, and the last words.
START_TIMEOUT_S = 8.0
RELEASE_TIMEOUT_S = 1.0

# How often one asks whether another server has taken over.
PRIMARY_CHECK_S = 5.0

# How often one looks whether a lock is free that another relay has.
LOCK_RETRY_S = 1.0

# What goes well for so long has gone well.
HEALTHY_AFTER_S = 3.0

# Logged although something else was logged before.
REFUSED = "does not publish"

FIRST_RETRY_S = 0.25
MAX_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class PublishConfig:
    """Where is published, and what.

    Attributes:
        url: of Redis.
        password: for it, in the place of the URL's; None for that.
        keys: the source's.
        public_url: where files can be asked for; None for nowhere.
        log_selection: of which jobs the logs are published.
        retention: how much of each.
    """

    url: str
    password: str | None
    keys: SourceKeys
    public_url: str | None
    log_selection: LogSelection
    retention: LogRetention


class Publisher:
    """Publishes for as long as it runs and has the lock of its source.

    Args:
        config: where is published, and what.
        hub: who knows jobs, roster and events.
        log_locator: who finds logs.
        log_followers: who follows them.

    Attributes:
        is_publishing: whether it does so now.
        start_count: how often it began to.
        write_stats: what it has written.
    """

    def __init__(
        self,
        config: PublishConfig,
        hub: JobHub,
        log_locator: FileLogLocator,
        log_followers: LogFollowers,
    ) -> None:
        self._config = config
        self._keys = keys = config.keys
        self._hub = hub
        self._client = make_client(config.url, config.password)
        self._lock = SourceLock(self._client, keys)
        self.is_publishing = False
        self.start_count = 0
        self.write_stats = WriteStats()
        self._startup_lock: LockResult | None = None
        self._event_publisher = EventPublisher(hub.replay_buffer, keys)
        self._log_publisher = LogPublisher(log_locator, log_followers, keys, config.retention)
        self._retry_delays = exponential_backoff(first_s=FIRST_RETRY_S, cap_s=MAX_RETRY_S)
        # What was logged to be wrong; "" if nothing is.
        self._logged_problem = ""

    @property
    def published_log_count(self) -> int:
        """How many logs are being published."""
        return len(self._log_publisher)

    async def acquire_lock(self) -> None:
        """Makes sure that there is no other relay of this source, where Redis can say.

        Raises:
            SourceTakenError: there is another one, or data in another format.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self._startup_lock = await self._lock.acquire_at_startup()
        except REDIS_ERRORS:
            # It is told when that is tried again.
            return
        except SourceNameInUseError:
            await self._disconnect()
            raise

    async def run(self) -> None:
        """Publishes until cancelled. No fault of Redis, or of this, ends it."""
        try:
            while True:
                try:
                    await self._publish_once()
                except LockLostError as error:
                    self._warn_once("publishes no more", error)
                except SourceNameInUseError as error:
                    self._warn_once(REFUSED, error)
                except REDIS_ERRORS as error:
                    self._warn_once("cannot publish, and will try again", error)
                except Exception:
                    # The server serves on, whatever fails here.
                    logger.exception("publishing failed, and is begun anew")
                await self._disconnect()
                await asyncio.sleep(next(self._retry_delays))
        finally:
            await self._disconnect()

    async def _publish_once(self) -> None:
        """Publishes with one token, as long as that goes well; raises what ends it."""
        attempt, self._startup_lock = self._startup_lock or await self._lock.try_acquire(), None
        while not attempt.token:
            self._warn_once("waits to publish", "another relay has the lock")
            await asyncio.sleep(LOCK_RETRY_S)
            attempt = await self._lock.try_acquire()
        writer = Writer(
            self._client, self._keys.lock, attempt.token, attempt.redis_time_s, self.write_stats
        )
        try:
            self.is_publishing = True
            self.start_count += 1
            await self._publish_all(writer, attempt.redis_time_s)
        finally:
            self.is_publishing = False
            await self._release_with_timeout(writer)

    async def _publish_all(self, writer: Writer, redis_time_s: int) -> None:
        states = StatePublisher(self._hub, self._keys, writer)
        chosen = PublishedLogSet(
            self._log_publisher, writer, publish_all=self._config.log_selection == "all"
        )

        def on_roster(roster: Roster) -> None:
            states.on_roster(roster)
            chosen.on_roster(roster)

        def on_interest() -> None:
            states.on_interest(interest.get_jobs("state"))
            chosen.on_interest(interest.get_jobs("log"))

        interest = InterestTracker(on_interest)
        roster = RosterPublisher(
            self._hub,
            self._keys,
            public_url=self._config.public_url,
            version=VERSION,
            on_roster=on_roster,
        )
        await run_until_first_failure(
            writer.run(),
            self._lock.keep_renewed(writer),
            self._watch_primary(),
            self._log_publisher.renew_expiry(writer),
            roster.publish_status(writer),
            roster.publish_roster(writer),
            self._event_publisher.run(writer),
            states.run(),
            chosen.run(),
            interest.run(self._client, self._keys.interest, redis_time_s),
            self._reset_backoff_when_stable(),
        )

    async def _watch_primary(self) -> None:
        """Ends what goes on at a server that others have given up, which may answer all the same.

        Raises:
            RedisError: there is another one.
        """
        while True:
            await asyncio.sleep(PRIMARY_CHECK_S)
            await ensure_same_primary(self._client)

    async def _reset_backoff_when_stable(self) -> None:
        """After a while without a failure, the next is told, and soon tried again after."""
        await asyncio.sleep(HEALTHY_AFTER_S)
        if self._logged_problem:
            logger.info("the relay of %r publishes again", self._keys.source)
        self._logged_problem = ""
        self._retry_delays = exponential_backoff(first_s=FIRST_RETRY_S, cap_s=MAX_RETRY_S)

    def _warn_once(self, problem: str, cause: object) -> None:
        """One line an occurrence, however often it is tried again."""
        if not self._logged_problem or (problem == REFUSED and self._logged_problem != problem):
            url = redact_url(self._config.url)
            said = describe_error(cause) if isinstance(cause, BaseException) else cause
            logger.warning("the relay of %r at %s %s: %s", self._keys.source, url, problem, said)
        self._logged_problem = problem

    async def _release_with_timeout(self, writer: Writer) -> None:
        """Lets the next relay have the lock at once, where Redis can be told soon.

        In a task of its own: this one may be cancelled, in which nothing can be asked any more.
        """
        goodbye = asyncio.create_task(self._release_lock(writer))
        await asyncio.wait({goodbye}, timeout=RELEASE_TIMEOUT_S)
        goodbye.cancel()

    async def _release_lock(self, writer: Writer) -> None:
        with contextlib.suppress(LockLostError, *REDIS_ERRORS):
            about = Command("DEL", self._keys.status)
            await writer.write_batch([about, make_change_command(self._keys, "status")])
            await writer.write_batch([Command("DEL", self._keys.lock)])

    async def _disconnect(self) -> None:
        """Closes all connections: after a fault, none of them is to be trusted."""
        await close_connections(self._client)
