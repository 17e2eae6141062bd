"""Reader of one source's streams: one XREAD waits for all streams that are followed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import msgspec
from redis.asyncio import Redis

from marianne_stream.common.backoff import Backoff
from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.errors import StateUnavailableError
from marianne_stream.relay.redis_client import (
    REDIS_ERRORS,
    call,
    close_connections,
    describe_error,
    ensure_same_primary,
)
from marianne_stream.relay.redis_streams import (
    FIRST_ID,
    StreamEntry,
    decode_entries,
    is_id_after,
    xrange,
    xread,
    xrevrange,
)
from marianne_stream.relay.schema import (
    FORMAT_VERSION,
    UNVERSIONED_FORMAT,
    EventEntry,
    InterestKind,
    RelayStatus,
    SourceKeys,
    describe_version,
    parse_event,
    parse_job_id,
    parse_status,
)

logger = logging.getLogger(__name__)

# Longest wait of a read. A new stream or interest waits for its end. Reads of up to 100 sources
# that find nothing are at most 100 a second together.
MIN_BLOCK_MS = 100
MAX_BLOCK_MS = 1_000
BLOCK_MS_PER_READER = 10

STATUS_POLL_S = 1.0
READ_TIMEOUT_S = 10.0

# Time limit of a command that does not block.
CALL_TIMEOUT_S = 5.0

MAX_READ_ENTRIES = 1_000

# Entries that are handled in one iteration of the event loop: some milliseconds.
MAX_SLICE_BYTES = 256 * 1024
MAX_SLICE_ENTRIES = 200

# Least time between the beginnings of two reads, of one source and of all: entries that arrive
# meanwhile in many streams come in one answer.
READ_SPACING_PER_READER_S = 0.002
MAX_READ_SPACING_S = 0.01

# Interval of the question for the primary while no relay publishes on this server.
PRIMARY_CHECK_S = 5.0

# After a session of this length, the backoff is reset.
HEALTHY_AFTER_S = 10.0

FIRST_RETRY_S = 0.25
MAX_RETRY_S = 5.0

MAX_STREAM_INTERESTS = 1_000

# A relay forgets an interest 30 s after it was sent last.
INTEREST_RENEW_S = 10.0

# A state that nothing asked for during this time is no longer of interest.
STATE_INTEREST_TTL_S = 40.0

StreamConsumer = Callable[[list[StreamEntry]], Awaitable[None]]


@dataclass(slots=True)
class StreamSubscription:
    """Consumer of a stream, and the id behind which it is read for it."""

    last_id: bytes
    consumer: StreamConsumer


class SourceListener(Protocol):
    """Listener of a source. It is called on the event loop, and must return at once."""

    def on_events(self, entries: list[EventEntry], /) -> None:
        """Handle entries of the stream of events, in order."""

    def on_roster_changed(self) -> None:
        """Handle a change of the roster."""

    def on_state_changed(self, job_id: str, /) -> None:
        """Handle a change of a job's state."""

    def on_status(self) -> None:
        """Handle a change of the relay's status, or of the connection to Redis."""


@dataclass(frozen=True, slots=True)
class ReadPacing:
    """Spacing of the reads of each source of an edge.

    Attributes:
        spacing_s: least time between the beginnings of two reads, in seconds.
        block_ms: longest wait of a read, in milliseconds.
    """

    spacing_s: float
    block_ms: int

    @classmethod
    def for_sources(cls, count: int) -> "ReadPacing":
        """Return the pacing for a number of sources."""
        return cls(
            min(READ_SPACING_PER_READER_S * count, MAX_READ_SPACING_S),
            min(max(MIN_BLOCK_MS, BLOCK_MS_PER_READER * count), MAX_BLOCK_MS),
        )


class SourceReader:
    """Reader of one source. Its client blocks in reads, so each source has its own.

    Attributes:
        status: status of the relay; None while it is away.
        is_connected: whether Redis answers.
        was_attempted: whether a session began, or failed to.
        watched_logs: jobs whose logs the relay is asked to publish.
        version_mismatch: reason why the source is not served although Redis answers, or "".
    """

    def __init__(
        self, client: Redis, keys: SourceKeys, pacing: ReadPacing, listener: SourceListener
    ) -> None:
        self._client = client
        self._pacing = pacing
        self.keys = keys
        self.status: RelayStatus | None = None
        self.is_connected = self.was_attempted = False
        self.version_mismatch = ""
        self.watched_logs: set[str] = set()
        self._states_expire_at: dict[str, float] = {}
        self._sent_interests: set[tuple[InterestKind, str]] = set()
        self._interests_due_at = 0.0
        self.session_count = self.read_count = self.entry_count = 0
        self._listener = listener
        self._changes = StreamSubscription(FIRST_ID, self._handle_changes)
        self._events = StreamSubscription(FIRST_ID, self._handle_events)
        self._subscriptions = {keys.changes: self._changes, keys.events: self._events}
        self._warning = WarnOnce(logger)
        self._status_due_at = self._primary_check_due_at = 0.0

    async def run(self) -> None:
        """Read until cancelled. After an error, begin again."""
        backoff = Backoff(first_s=FIRST_RETRY_S, cap_s=MAX_RETRY_S, healthy_after_s=HEALTHY_AFTER_S)
        while True:
            began = time.monotonic()
            try:
                await self._run_session()
            except (*REDIS_ERRORS, StateUnavailableError) as error:
                await self._on_disconnect(error)
            except Exception as error:
                # A fault in one source must not end the edge.
                logger.exception("reading failed source=%s", self.keys.source)
                await self._on_disconnect(error)
            backoff.session_ended(time.monotonic() - began)
            await asyncio.sleep(backoff.next_delay_s())

    def touch_state(self, job_id: str) -> None:
        """Ask the relay to publish a job's state, for some time."""
        self._states_expire_at[job_id] = time.monotonic() + STATE_INTEREST_TTL_S

    def subscribe(self, key: str, after_id: bytes, consumer: StreamConsumer) -> None:
        """Follow a stream from an id on; entries before those that arrive may have been lost."""
        self._subscriptions[key] = StreamSubscription(after_id, consumer)

    def unsubscribe(self, key: str) -> None:
        """Stop following a stream."""
        self._subscriptions.pop(key, None)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Redis]:
        """Yield the client for commands that do not block; raise StateUnavailableError on error."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                yield self._client
        except REDIS_ERRORS as error:
            raise StateUnavailableError(f"Redis does not answer: {error}") from error

    async def _run_session(self) -> None:
        async with asyncio.timeout(READ_TIMEOUT_S):
            await self._read_status()
            await self._find_positions()
        self._warning.recover("source readable again source=%s", self.keys.source)
        self.is_connected = self.was_attempted = True
        self.session_count += 1
        # Redis may have lost the interests.
        self._interests_due_at = 0.0
        # Anything may have changed meanwhile.
        self._listener.on_roster_changed()
        self._listener.on_status()
        while True:
            async with asyncio.timeout(READ_TIMEOUT_S):
                if time.monotonic() >= self._status_due_at:
                    await self._update_status()
                    await self._check_primary()
                await self._send_interests()
            began = time.monotonic()
            subscriptions = self._subscriptions.copy()
            for key, entries in await self._read_streams(subscriptions):
                self.entry_count += len(entries)
                await self._handle_entries(key, entries, subscriptions[key])
            await asyncio.sleep(max(0.0, began + self._pacing.spacing_s - time.monotonic()))

    async def _read_streams(
        self, subscriptions: Mapping[str, StreamSubscription]
    ) -> list[tuple[str, list[StreamEntry]]]:
        streams = {key: subscription.last_id for key, subscription in subscriptions.items()}
        async with asyncio.timeout(READ_TIMEOUT_S):
            answer = await xread(
                self._client, streams, count=MAX_READ_ENTRIES, block_ms=self._pacing.block_ms
            )
        self.read_count += 1
        return answer

    async def _find_positions(self) -> None:
        """Find the positions to read from, and read the events that were missed."""
        changes = await xrevrange(self._client, self.keys.changes, count=1)
        self._changes.last_id = changes[0][0] if changes else FIRST_ID
        key = self.keys.events
        newest = await xrevrange(self._client, key, count=1)
        if not newest or is_id_after(self._events.last_id, newest[0][0]):
            # Redis has lost its data: this is another stream.
            self._events.last_id = FIRST_ID
        page_size = MAX_READ_ENTRIES
        while page_size == MAX_READ_ENTRIES:
            from_id = b"(" + self._events.last_id
            page = await xrange(self._client, key, from_id=from_id, count=MAX_READ_ENTRIES)
            await self._handle_entries(key, page, self._events)
            page_size = len(page)

    async def _handle_entries(
        self, key: str, entries: list[StreamEntry], subscription: StreamSubscription
    ) -> None:
        """Pass entries of a stream to the subscription for which they were read."""
        for part in split_into_slices(entries):
            # A subscription that has replaced it since the read began has another position.
            if self._subscriptions.get(key) is subscription:
                await subscription.consumer(part)
                subscription.last_id = part[-1][0]
            await asyncio.sleep(0)

    async def _handle_events(self, entries: list[StreamEntry]) -> None:
        self._listener.on_events([event for _, event in decode_entries(entries, parse_event)])

    async def _handle_changes(self, entries: list[StreamEntry]) -> None:
        changes = [fields for _, fields in entries]
        kinds = {fields.get(b"k", b"") for fields in changes}
        if b"status" in kinds:
            self._status_due_at = 0.0
        if b"jobs" in kinds:
            self._listener.on_roster_changed()
        job_ids = [f[b"j"] for f in changes if f.get(b"k") == b"state" and b"j" in f]
        for job_id in dict.fromkeys(job_ids):
            # No job has an invalid id.
            with contextlib.suppress(ValueError):
                self._listener.on_state_changed(parse_job_id(job_id))

    async def _read_status(self) -> bytes | None:
        """Return the encoded status; raise StateUnavailableError for another format."""
        async with self._client.pipeline(transaction=False) as pipe:
            for key in (self.keys.format, self.keys.fence, self.keys.status):
                pipe.get(key)
            version, fence, status = await call(pipe.execute())
        if version is None and fence is not None:
            version = b"%d" % UNVERSIONED_FORMAT
        self.version_mismatch = ""
        if version not in (None, b"%d" % FORMAT_VERSION):
            self.version_mismatch = (
                f"it is published in format {describe_version(version)}, and this edge reads "
                f"format {FORMAT_VERSION}: run the same release on both"
            )
            raise StateUnavailableError(self.version_mismatch)
        return cast("bytes | None", status)

    async def _update_status(self) -> None:
        self._status_due_at = time.monotonic() + STATUS_POLL_S
        data = await self._read_status()
        try:
            status = parse_status(data) if data is not None else None
        except ValueError as error:
            logger.debug("invalid status source=%s: %s", self.keys.source, error)
            status = None
        before, self.status = self.status, status
        if not is_same_service(before, status):
            self._listener.on_status()

    async def _check_primary(self) -> None:
        """Raise RedisError if another server is the primary: no relay publishes on this one."""
        if self.status is None and time.monotonic() >= self._primary_check_due_at:
            self._primary_check_due_at = time.monotonic() + PRIMARY_CHECK_S
            await ensure_same_primary(self._client)

    async def _send_interests(self) -> None:
        """Send new interests, or all if they must be renewed."""
        now = time.monotonic()
        states = {job: until for job, until in self._states_expire_at.items() if until > now}
        self._states_expire_at = states
        wanted: set[tuple[InterestKind, str]] = {("log", job) for job in self.watched_logs}
        wanted |= {("state", job) for job in states}
        if now >= self._interests_due_at:
            self._interests_due_at = now + INTEREST_RENEW_S
            self._sent_interests = set()
        due, self._sent_interests = sorted(wanted - self._sent_interests), wanted
        if not due:
            return
        async with self._client.pipeline(transaction=False) as pipe:
            for kind, job_id in due:
                fields: dict[Any, Any] = {"k": kind, "j": job_id}
                pipe.xadd(self.keys.interest, fields, maxlen=MAX_STREAM_INTERESTS, approximate=True)
            await call(pipe.execute())

    async def close(self) -> None:
        """Close all connections; new ones are made if they are needed."""
        with contextlib.suppress(*REDIS_ERRORS):
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await close_connections(self._client)

    async def _on_disconnect(self, error: Exception) -> None:
        source, mismatch = self.keys.source, self.version_mismatch
        if mismatch:
            self._warning.warn("source not served source=%s: %s", source, mismatch)
        elif not self._warning.has_warned:
            self._warning.warn("source unreadable source=%s: %s", source, describe_error(error))
        self.is_connected, self.was_attempted, self.status = False, True, None
        self._listener.on_status()
        await self.close()


def is_same_service(one: RelayStatus | None, other: RelayStatus | None) -> bool:
    """Return whether two statuses differ at most in information about the conductor."""
    if one is None or other is None:
        return one is other
    return msgspec.structs.replace(one, conductor=other.conductor) == other


def split_into_slices(entries: list[StreamEntry]) -> Iterator[list[StreamEntry]]:
    """Split entries into parts that each take the event loop for some milliseconds."""
    part: list[StreamEntry] = []
    size = 0
    for entry in entries:
        part.append(entry)
        size += sum(map(len, entry[1].values()))
        if len(part) >= MAX_SLICE_ENTRIES or size >= MAX_SLICE_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part
