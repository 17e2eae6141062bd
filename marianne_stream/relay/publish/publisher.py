"""Publisher: writes what this server knows to Redis, as one more subscriber of the hub.

It never keeps the server from serving: while Redis is away it waits, and then continues at the ends
of its streams.
"""

import asyncio
import contextlib
import logging

from marianne_stream.common.backoff import Backoff
from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.common.task_set import run_until_first_failure
from marianne_stream.errors import LockLostError, SourceNameInUseError
from marianne_stream.feeds.log_follower import LogFollowers
from marianne_stream.feeds.log_locator import FileLogLocator
from marianne_stream.jobs.hub import JobHub
from marianne_stream.relay.publish.config import PublishConfig
from marianne_stream.relay.publish.event_publisher import EventPublisher
from marianne_stream.relay.publish.log_publisher import LogPublisher
from marianne_stream.relay.publish.selection import InterestTracker
from marianne_stream.relay.publish.state_publisher import StatePublisher, make_change_command
from marianne_stream.relay.publish.writer import Command, LockResult, SourceLock, Writer, WriteStats
from marianne_stream.relay.redis_client import (
    REDIS_ERRORS,
    close_connections,
    describe_error,
    ensure_same_primary,
    make_client,
)
from marianne_stream.relay.schema import SourceKeys
from marianne_stream.wire.redis_urls import redact_url

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 8.0
RELEASE_TIMEOUT_S = 1.0

# Interval of the question whether Sentinels name another primary.
PRIMARY_CHECK_S = 5.0

LOCK_RETRY_S = 1.0

# After this long without an error, the backoff and the warning are reset.
HEALTHY_AFTER_S = 3.0

FIRST_RETRY_S = 0.25
MAX_RETRY_S = 5.0


class Publisher:
    """Publishes while it runs and holds the lock of its source."""

    def __init__(
        self,
        hub: JobHub,
        log_locator: FileLogLocator,
        log_followers: LogFollowers,
        config: PublishConfig,
    ) -> None:
        self._config = config
        self._keys = keys = SourceKeys(config.prefix, config.source_name)
        self._hub = hub
        self._client = make_client(config.url, config.password)
        self._lock = SourceLock(self._client, keys)
        self.is_publishing = False
        self.start_count = 0
        self.write_stats = WriteStats()
        self._startup_lock: LockResult | None = None
        self._event_publisher = EventPublisher(hub.events.replay_buffer, keys)
        self._log_publisher = LogPublisher(log_locator, log_followers, keys, config)
        self._backoff = Backoff(first_s=FIRST_RETRY_S, cap_s=MAX_RETRY_S)
        self._warning = WarnOnce(logger)

    @property
    def published_log_count(self) -> int:
        """Number of logs that are published now."""
        return len(self._log_publisher)

    async def acquire_lock(self) -> None:
        """Take the lock at startup. If Redis does not answer, `run` tries again.

        Raises SourceNameInUseError for another relay, or data in another format.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self._startup_lock = await self._lock.acquire_at_startup()
        except REDIS_ERRORS:
            return
        except SourceNameInUseError:
            await close_connections(self._client)
            raise

    async def run(self) -> None:
        """Publish until cancelled. An error of Redis or of the publisher does not end it."""
        try:
            while True:
                try:
                    await self._publish_with_lock()
                except SourceNameInUseError as error:
                    self._warn("publishing refused", error, is_urgent=True)
                except LockLostError as error:
                    self._warn("lock lost", error)
                except REDIS_ERRORS as error:
                    self._warn("publishing failed", error)
                except Exception:
                    logger.exception("publishing failed source=%s", self._keys.source)
                # After an error, no connection is trusted.
                await close_connections(self._client)
                await asyncio.sleep(self._backoff.next_delay_s())
        finally:
            await close_connections(self._client)

    async def _publish_with_lock(self) -> None:
        """Wait for the lock, and publish with it until an error, which is raised."""
        lock, self._startup_lock = self._startup_lock or await self._lock.try_acquire(), None
        while not lock.token:
            self._warn("waiting for the lock", "another relay holds it")
            await asyncio.sleep(LOCK_RETRY_S)
            lock = await self._lock.try_acquire()
        writer = Writer(
            self._client, self._keys.lock, lock.token, lock.redis_time_s, self.write_stats
        )
        try:
            self.is_publishing = True
            self.start_count += 1
            await self._publish_all(writer, lock.redis_time_s)
        finally:
            self.is_publishing = False
            await self._release_with_timeout(writer)

    async def _publish_all(self, writer: Writer, redis_time_s: int) -> None:
        logs = self._log_publisher
        logs.on_interest(set())
        states = StatePublisher(
            self._hub,
            self._keys,
            writer,
            public_url=self._config.public_url,
            on_roster=logs.on_roster,
        )
        interest = InterestTracker({"state": states.on_interest, "log": logs.on_interest})
        await run_until_first_failure(
            writer.run(),
            self._lock.keep_renewed(writer),
            self._watch_primary(),
            self._event_publisher.run(writer),
            states.run(),
            logs.run(writer),
            interest.run(self._client, self._keys.interest, redis_time_s),
            self._report_recovery(),
        )

    async def _watch_primary(self) -> None:
        """Raise RedisError as soon as Sentinels name another primary."""
        while True:
            await asyncio.sleep(PRIMARY_CHECK_S)
            await ensure_same_primary(self._client)

    async def _report_recovery(self) -> None:
        await asyncio.sleep(HEALTHY_AFTER_S)
        self._warning.recover("publishing resumed source=%s", self._keys.source)
        self._backoff.reset()

    def _warn(self, event: str, cause: object, *, is_urgent: bool = False) -> None:
        """Log the first problem since the last recovery, and each that a person must solve."""
        if not self._warning.has_warned or is_urgent:
            error = describe_error(cause) if isinstance(cause, BaseException) else cause
            url = redact_url(self._config.url)
            self._warning.warn("%s source=%s redis=%s: %s", event, self._keys.source, url, error)

    async def _release_with_timeout(self, writer: Writer) -> None:
        """Release the lock in a task of its own, since this one may have been cancelled."""
        release = asyncio.create_task(self._release_lock(writer))
        await asyncio.wait({release}, timeout=RELEASE_TIMEOUT_S)
        release.cancel()

    async def _release_lock(self, writer: Writer) -> None:
        with contextlib.suppress(LockLostError, *REDIS_ERRORS):
            delete_status = Command("DEL", self._keys.status)
            await writer.write_batch([delete_status, make_change_command(self._keys, "status")])
            await writer.write_batch([Command("DEL", self._keys.lock)])
