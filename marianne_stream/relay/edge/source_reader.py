"""One source, read by one edge: one XREAD waits for all of its streams that are watched.

It must not know what the entries are for.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol, cast

from redis.asyncio import Redis

from marianne_stream.errors import StateUnavailableError
from marianne_stream.relay.edge.interest_sender import InterestSender
from marianne_stream.relay.redis_client import (
    REDIS_ERRORS,
    call,
    close_connections,
    describe_error,
    ensure_same_primary,
)
from marianne_stream.relay.redis_keys import SourceKeys
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
    EntryFields,
    EventEntry,
    RelayStatus,
)
from marianne_stream.relay.validation import (
    describe_version,
    parse_event,
    parse_job_id,
    parse_status,
)
from marianne_stream.wire.backoff import exponential_backoff

logger = logging.getLogger(__name__)

# How long a read waits for something new. It takes no new streams meanwhile: one that is followed
# from now on, and an interest that is to be said, wait for its end. Reads of up to
# 100 sources that find nothing are at most 100 a second, all together.
MIN_BLOCK_MS = 100
MAX_BLOCK_MS = 1_000
BLOCK_MS_PER_READER = 10

# How often one looks at what the relay says of itself.
STATUS_POLL_S = 1.0
READ_TIMEOUT_S = 10.0

# How long one answer may take that waits for nothing.
CALL_TIMEOUT_S = 5.0

MAX_READ_ENTRIES = 1_000

# So many entries are taken in one turn of the loop: some milliseconds.
MAX_SLICE_BYTES = 256 * 1024
MAX_SLICE_ENTRIES = 200

# So far apart reads of all sources together begin, at least, and those of one at the most: what
# comes one by one in many streams comes in one answer, and costs Redis and this process a call for
# all of it.
READ_SPACING_PER_READER_S = 0.002
MAX_READ_SPACING_S = 0.01

# How often one asks whether another server has taken over, while no relay is seen on this one.
PRIMARY_CHECK_S = 5.0

# A connection that stood for so long was a good one.
HEALTHY_AFTER_S = 10.0

FIRST_RETRY_S = 0.25
MAX_RETRY_S = 5.0

MAX_STREAM_INTERESTS = 1_000


class StreamConsumer(Protocol):
    """Who reads a stream from an id on."""

    async def on_entries(self, entries: list[StreamEntry], /) -> None:
        """Take what has come; what was before it may be trimmed, or lost."""


class SourceReaderListener(Protocol):
    """Who wants to hear of a source. Each is called on the loop, and must return at once."""

    def on_events(self, entries: list[EventEntry], /) -> None:
        """Entries of the timeline, in order."""

    def on_connected(self, /) -> None:
        """Reading begins, maybe again: anything may have changed."""

    def on_roster_changed(self, /) -> None:
        """The roster has changed."""

    def on_state_changed(self, job_id: str, /) -> None:
        """The state of a job has changed."""

    def on_status(self, status: RelayStatus | None, /) -> None:
        """What the relay says of itself has changed; None where it is away."""


class ReadPacer:
    """How far apart reads begin, shared by all readings of an edge.

    Attributes:
        reader_count: how many there are.
    """

    def __init__(self) -> None:
        self.reader_count = 1

    @property
    def spacing_s(self) -> float:
        """From the beginning of a read to that of the next of the same source, at least."""
        return min(READ_SPACING_PER_READER_S * self.reader_count, MAX_READ_SPACING_S)

    @property
    def block_ms(self) -> int:
        """How long a read waits for something new."""
        return min(max(MIN_BLOCK_MS, BLOCK_MS_PER_READER * self.reader_count), MAX_BLOCK_MS)


class SourceReader:
    """The streams of one source.

    Args:
        client: of Redis; this reading's own, whose reads may wait.
        keys: the source's.
        pacer: how far apart its reads begin.
        listener: who hears of it.

    Attributes:
        keys: the same.
        status: what the relay says of itself; None while it is away.
        is_connected: whether Redis answers.
        version_mismatch: why the source is not served although Redis answers: its format; "" if it
            is.
        interest_sender: what is watched here.
        session_count: how often reading began.
        read_count: how many reads Redis has answered.
        entry_count: how many entries came.
    """

    def __init__(
        self, client: Redis, keys: SourceKeys, pacer: ReadPacer, listener: SourceReaderListener
    ) -> None:
        self._client = client
        self._pacer = pacer
        self.keys = keys
        self.status: RelayStatus | None = None
        self.is_connected = False
        self.version_mismatch = ""
        self.interest_sender = InterestSender()
        self.session_count = self.read_count = self.entry_count = 0
        self._listener = listener
        self._consumers: dict[str, tuple[bytes, StreamConsumer]] = {}
        self._changes_id = FIRST_ID
        self._events_id = FIRST_ID
        # What was logged of why it cannot be read.
        self._logged_problem = ""
        self._status_due_at = 0.0
        self._primary_check_due_at = 0.0

    async def run(self) -> None:
        """Reads until it is cancelled; comes back by itself."""
        waits = exponential_backoff(first_s=FIRST_RETRY_S, cap_s=MAX_RETRY_S)
        while True:
            began = time.monotonic()
            try:
                await self._run_session()
            except (*REDIS_ERRORS, StateUnavailableError) as error:
                await self._on_disconnect(error)
            except Exception as error:
                # Whatever a source writes, others are served.
                logger.exception("reading %s failed, and is begun anew", self.keys.source)
                await self._on_disconnect(error)
            if time.monotonic() - began > HEALTHY_AFTER_S:
                waits = exponential_backoff(first_s=FIRST_RETRY_S, cap_s=MAX_RETRY_S)
            await asyncio.sleep(next(waits))

    def subscribe(self, key: str, after_id: bytes, consumer: StreamConsumer) -> None:
        """Reads a stream from an id on."""
        self._consumers[key] = (after_id, consumer)

    def unsubscribe(self, key: str) -> None:
        """Reads it no more."""
        self._consumers.pop(key, None)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Redis]:
        """The client, for questions that wait for nothing.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                yield self._client
        except REDIS_ERRORS as error:
            raise StateUnavailableError(f"Redis cannot be asked: {error}") from error

    async def _run_session(self) -> None:
        async with asyncio.timeout(READ_TIMEOUT_S):
            await self._read_status()
            await self._start_session()
        if self._logged_problem:
            logger.info("Redis can be read again for %s", self.keys.source)
        self.is_connected, self._logged_problem = True, ""
        self.session_count += 1
        self.interest_sender.resend_all()
        self._listener.on_connected()
        while True:
            async with asyncio.timeout(READ_TIMEOUT_S):
                if time.monotonic() >= self._status_due_at:
                    await self._update_status()
                    await self._check_primary()
                await self._send_interests()
            began = time.monotonic()
            for key, entries in await self._read_streams():
                self.entry_count += len(entries)
                for part in split_into_slices(entries):
                    if key in self._consumers:
                        await self._forward_entries(key, part)
                    else:
                        self._handle_entries(key, part)
                    await asyncio.sleep(0)
            await asyncio.sleep(max(0.0, began + self._pacer.spacing_s - time.monotonic()))

    async def _read_streams(self) -> list[tuple[str, list[StreamEntry]]]:
        """What has come in the streams that are followed; nothing if nothing does for a while."""
        streams = {
            self.keys.changes: self._changes_id,
            self.keys.events: self._events_id,
            **{key: after for key, (after, _) in self._consumers.items()},
        }
        async with asyncio.timeout(READ_TIMEOUT_S):
            answer = await xread(
                self._client, streams, count=MAX_READ_ENTRIES, block_ms=self._pacer.block_ms
            )
        self.read_count += 1
        return answer

    async def _start_session(self) -> None:
        """Finds where to read on: what was written while it was away comes first."""
        news = await xrevrange(self._client, self.keys.changes, count=1)
        self._changes_id = news[0][0] if news else FIRST_ID
        events = await xrevrange(self._client, self.keys.events, count=1)
        if not events or is_id_after(self._events_id, events[0][0]):
            # Redis has lost its data: what is there now is another stream.
            self._events_id = FIRST_ID
        await self._read_missed_events()

    async def _read_missed_events(self) -> None:
        """Reads all that are there, so that who comes back finds what he has missed."""
        more = True
        while more:
            behind = b"(" + self._events_id
            past = await xrange(
                self._client, self.keys.events, from_id=behind, count=MAX_READ_ENTRIES
            )
            for part in split_into_slices(past):
                self._handle_entries(self.keys.events, part)
                await asyncio.sleep(0)
            more = len(past) == MAX_READ_ENTRIES

    def _handle_entries(self, key: str, entries: list[StreamEntry]) -> None:
        if key == self.keys.changes:
            self._changes_id = entries[-1][0]
            self._handle_changes([fields for _, fields in entries])
        elif key == self.keys.events:
            self._events_id = entries[-1][0]
            self._listener.on_events([event for _, event in decode_entries(entries, parse_event)])

    async def _forward_entries(self, key: str, entries: list[StreamEntry]) -> None:
        """Gives entries to who follows."""
        _, follower = self._consumers[key]
        await follower.on_entries(entries)
        if key in self._consumers:
            self._consumers[key] = (entries[-1][0], follower)

    def _handle_changes(self, changes: list[EntryFields]) -> None:
        kinds = {fields.get(b"k", b"") for fields in changes}
        if b"status" in kinds:
            self._status_due_at = 0.0
        if b"jobs" in kinds:
            self._listener.on_roster_changed()
        for job_id in dict.fromkeys(
            f[b"j"] for f in changes if f.get(b"k") == b"state" and b"j" in f
        ):
            # A job id that is none is of no job that anybody watches.
            with contextlib.suppress(ValueError):
                self._listener.on_state_changed(parse_job_id(job_id))

    async def _read_status(self) -> bytes | None:
        """What the relay says of itself.

        Raises:
            StateUnavailableError: the source is published in another format.
        """
        async with self._client.pipeline(transaction=False) as pipe:
            for key in (self.keys.format, self.keys.fence, self.keys.status):
                pipe.get(key)
            found, fence, about = await call(pipe.execute())
        if found is None and fence is not None:
            found = b"%d" % UNVERSIONED_FORMAT
        self.version_mismatch = ""
        if found not in (None, b"%d" % FORMAT_VERSION):
            self.version_mismatch = (
                f"it is published in format {describe_version(found)}, and this edge reads format "
                f"{FORMAT_VERSION}: run the same release on both"
            )
            raise StateUnavailableError(self.version_mismatch)
        return cast("bytes | None", about)

    async def _update_status(self) -> None:
        self._status_due_at = time.monotonic() + STATUS_POLL_S
        raw = await self._read_status()
        try:
            about = parse_status(raw) if raw is not None else None
        except ValueError as error:
            logger.debug("what %s says of itself cannot be read: %s", self.keys.source, error)
            about = None
        if about != self.status:
            self.status = about
            self._listener.on_status(about)

    async def _check_primary(self) -> None:
        """One that is cut off from the others answers on, but no relay writes there any more.

        Raises:
            RedisError: there is another one now.
        """
        if self.status is not None or time.monotonic() < self._primary_check_due_at:
            return
        self._primary_check_due_at = time.monotonic() + PRIMARY_CHECK_S
        await ensure_same_primary(self._client)

    async def _send_interests(self) -> None:
        due = self.interest_sender.take_due()
        if not due:
            return
        async with self._client.pipeline(transaction=False) as pipe:
            for kind, job_id in due:
                fields: dict[Any, Any] = {"k": kind, "j": job_id}
                pipe.xadd(self.keys.interest, fields, maxlen=MAX_STREAM_INTERESTS, approximate=True)
            await call(pipe.execute())

    async def close(self) -> None:
        """Closes all connections; others are made where there is need of them."""
        with contextlib.suppress(*REDIS_ERRORS):
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await close_connections(self._client)

    async def _on_disconnect(self, error: Exception) -> None:
        """Redis is away: logged once, and no connection is used again."""
        # A mismatch is logged although it was logged that Redis was away.
        what = self.version_mismatch or "away"
        if self._logged_problem != what and self.version_mismatch:
            logger.warning("source %s is not served: %s", self.keys.source, self.version_mismatch)
        elif self._logged_problem != what:
            logger.warning(
                "Redis cannot be read for %s: %s", self.keys.source, describe_error(error)
            )
        self.is_connected, self._logged_problem, self.status = False, what, None
        self._listener.on_status(None)
        await self.close()


def split_into_slices(entries: list[StreamEntry]) -> Iterator[list[StreamEntry]]:
    """Cut entries into parts that take the loop for some milliseconds each."""
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
