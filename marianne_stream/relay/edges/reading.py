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
from marianne_stream.relay.connecting import AWAY, asked, check_primary, hang_up, words
from marianne_stream.relay.edges.interests import Interests
from marianne_stream.relay.format import FORMAT, UNNAMED_FORMAT, About, EventEntry, Fields
from marianne_stream.relay.keys import Keys
from marianne_stream.relay.streams import BEGINNING, Entry, is_after, newest, read, readable, span
from marianne_stream.relay.validation import parse_about, parse_event, parse_job_id, shown_format
from marianne_stream.wire.backoff import exponential_backoff

logger = logging.getLogger(__name__)

# How long a read waits for something new. It takes no new streams meanwhile: one that is followed
# from now on, and an interest that is to be said, wait for its end. Reads of up to
# 100 sources that find nothing are at most 100 a second, all together.
LEAST_BLOCK_MS = 100
MOST_BLOCK_MS = 1_000
BLOCK_MS_A_READING = 10

# How often one looks at what the relay says of itself.
ABOUT_LOOK_S = 1.0
READ_LIMIT_S = 10.0

# How long one answer may take that waits for nothing.
ASK_LIMIT_S = 5.0

BATCH_ENTRIES = 1_000

# So many entries are taken in one turn of the loop: some milliseconds.
TAKEN_BYTES = 256 * 1024
TAKEN_AT_ONCE = 200

# So far apart reads of all sources together begin, at least, and those of one at the most: what
# comes one by one in many streams comes in one answer, and costs Redis and this process a call for
# all of it.
READ_SPACING_S = 0.002
MOST_SPACING_S = 0.01

# How often one asks whether another server has taken over, while no relay is seen on this one.
MOVED_LOOK_S = 5.0

# A connection that stood for so long was a good one.
GOOD_SESSION_S = 10.0

FIRST_DELAY_S = 0.25
DELAY_CAP_S = 5.0

INTERESTS_KEPT = 1_000


class Follower(Protocol):
    """Who reads a stream from an id on."""

    async def on_entries(self, entries: list[Entry], /) -> None:
        """Take what has come; what was before it may be trimmed, or lost."""


class Listener(Protocol):
    """Who wants to hear of a source. Each is called on the loop, and must return at once."""

    def on_events(self, entries: list[EventEntry], /) -> None:
        """Entries of the timeline, in order."""

    def on_begun(self, /) -> None:
        """Reading begins, maybe again: anything may have changed."""

    def on_jobs(self, /) -> None:
        """The roster has changed."""

    def on_state(self, job_id: str, /) -> None:
        """The state of a job has changed."""

    def on_about(self, about: About | None, /) -> None:
        """What the relay says of itself has changed; None where it is away."""


class Pace:
    """How far apart reads begin, shared by all readings of an edge.

    Attributes:
        readings: how many there are.
    """

    def __init__(self) -> None:
        self.readings = 1

    @property
    def spacing_s(self) -> float:
        """From the beginning of a read to that of the next of the same source, at least."""
        return min(READ_SPACING_S * self.readings, MOST_SPACING_S)

    @property
    def block_ms(self) -> int:
        """How long a read waits for something new."""
        return min(max(LEAST_BLOCK_MS, BLOCK_MS_A_READING * self.readings), MOST_BLOCK_MS)


class SourceReading:
    """The streams of one source.

    Args:
        client: of Redis; this reading's own, whose reads may wait.
        keys: the source's.
        pace: how far apart its reads begin.
        listener: who hears of it.

    Attributes:
        keys: the same.
        about: what the relay says of itself; None while it is away.
        connected: whether Redis answers.
        mismatch: why the source is not served although Redis answers: its format; "" if it is.
        interests: what is watched here.
        sessions: how often reading began.
        reads: how many reads Redis has answered.
        entries: how many entries came.
    """

    def __init__(self, client: Redis, keys: Keys, pace: Pace, listener: Listener) -> None:
        self._client = client
        self._pace = pace
        self.keys = keys
        self.about: About | None = None
        self.connected = False
        self.mismatch = ""
        self.interests = Interests()
        self.sessions = self.reads = self.entries = 0
        self._listener = listener
        self._followed: dict[str, tuple[bytes, Follower]] = {}
        self._news_at = BEGINNING
        self._events_at = BEGINNING
        # What was logged of why it cannot be read.
        self._told = ""
        self._about_due_at = 0.0
        self._moved_due_at = 0.0

    async def run(self) -> None:
        """Reads until it is cancelled; comes back by itself."""
        waits = exponential_backoff(first_s=FIRST_DELAY_S, cap_s=DELAY_CAP_S)
        while True:
            began = time.monotonic()
            try:
                await self._session()
            except (*AWAY, StateUnavailableError) as error:
                await self._lose(error)
            except Exception as error:
                # Whatever a source writes, others are served.
                logger.exception("reading %s failed, and is begun anew", self.keys.source)
                await self._lose(error)
            if time.monotonic() - began > GOOD_SESSION_S:
                waits = exponential_backoff(first_s=FIRST_DELAY_S, cap_s=DELAY_CAP_S)
            await asyncio.sleep(next(waits))

    def follow(self, key: str, after: bytes, follower: Follower) -> None:
        """Reads a stream from an id on."""
        self._followed[key] = (after, follower)

    def leave(self, key: str) -> None:
        """Reads it no more."""
        self._followed.pop(key, None)

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[Redis]:
        """The client, for questions that wait for nothing.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                yield self._client
        except AWAY as error:
            raise StateUnavailableError(f"Redis cannot be asked: {error}") from error

    async def _session(self) -> None:
        async with asyncio.timeout(READ_LIMIT_S):
            await self._read_about()
            await self._begin()
        if self._told:
            logger.info("Redis can be read again for %s", self.keys.source)
        self.connected, self._told = True, ""
        self.sessions += 1
        self.interests.forget_said()
        self._listener.on_begun()
        while True:
            async with asyncio.timeout(READ_LIMIT_S):
                if time.monotonic() >= self._about_due_at:
                    await self._look_at_about()
                    await self._look_whether_moved()
                await self._say_interests()
            began = time.monotonic()
            for key, entries in await self._read():
                self.entries += len(entries)
                for part in parts_of(entries):
                    if key in self._followed:
                        await self._pass_on(key, part)
                    else:
                        self._take(key, part)
                    await asyncio.sleep(0)
            await asyncio.sleep(max(0.0, began + self._pace.spacing_s - time.monotonic()))

    async def _read(self) -> list[tuple[str, list[Entry]]]:
        """What has come in the streams that are followed; nothing if nothing does for a while."""
        streams = {
            self.keys.news: self._news_at,
            self.keys.events: self._events_at,
            **{key: after for key, (after, _) in self._followed.items()},
        }
        async with asyncio.timeout(READ_LIMIT_S):
            answer = await read(
                self._client, streams, count=BATCH_ENTRIES, block_ms=self._pace.block_ms
            )
        self.reads += 1
        return answer

    async def _begin(self) -> None:
        """Finds where to read on: what was written while it was away comes first."""
        news = await newest(self._client, self.keys.news, count=1)
        self._news_at = news[0][0] if news else BEGINNING
        events = await newest(self._client, self.keys.events, count=1)
        if not events or is_after(self._events_at, events[0][0]):
            # Redis has lost its data: what is there now is another stream.
            self._events_at = BEGINNING
        await self._read_past_events()

    async def _read_past_events(self) -> None:
        """Reads all that are there, so that who comes back finds what he has missed."""
        more = True
        while more:
            behind = b"(" + self._events_at
            past = await span(self._client, self.keys.events, least=behind, count=BATCH_ENTRIES)
            for part in parts_of(past):
                self._take(self.keys.events, part)
                await asyncio.sleep(0)
            more = len(past) == BATCH_ENTRIES

    def _take(self, key: str, entries: list[Entry]) -> None:
        if key == self.keys.news:
            self._news_at = entries[-1][0]
            self._take_news([fields for _, fields in entries])
        elif key == self.keys.events:
            self._events_at = entries[-1][0]
            self._listener.on_events([event for _, event in readable(entries, parse_event)])

    async def _pass_on(self, key: str, entries: list[Entry]) -> None:
        """Gives entries to who follows."""
        _, follower = self._followed[key]
        await follower.on_entries(entries)
        if key in self._followed:
            self._followed[key] = (entries[-1][0], follower)

    def _take_news(self, news: list[Fields]) -> None:
        kinds = {fields.get(b"k", b"") for fields in news}
        if b"status" in kinds:
            self._about_due_at = 0.0
        if b"jobs" in kinds:
            self._listener.on_jobs()
        for job_id in dict.fromkeys(f[b"j"] for f in news if f.get(b"k") == b"state" and b"j" in f):
            # A job id that is none is of no job that anybody watches.
            with contextlib.suppress(ValueError):
                self._listener.on_state(parse_job_id(job_id))

    async def _read_about(self) -> bytes | None:
        """What the relay says of itself.

        Raises:
            StateUnavailableError: the source is published in another format.
        """
        async with self._client.pipeline(transaction=False) as pipe:
            for key in (self.keys.format, self.keys.fence, self.keys.about):
                pipe.get(key)
            found, fence, about = await asked(pipe.execute())
        if found is None and fence is not None:
            found = b"%d" % UNNAMED_FORMAT
        self.mismatch = ""
        if found not in (None, b"%d" % FORMAT):
            self.mismatch = (
                f"it is published in format {shown_format(found)}, and this edge reads format "
                f"{FORMAT}: run the same release on both"
            )
            raise StateUnavailableError(self.mismatch)
        return cast("bytes | None", about)

    async def _look_at_about(self) -> None:
        self._about_due_at = time.monotonic() + ABOUT_LOOK_S
        raw = await self._read_about()
        try:
            about = parse_about(raw) if raw is not None else None
        except ValueError as error:
            logger.debug("what %s says of itself cannot be read: %s", self.keys.source, error)
            about = None
        if about != self.about:
            self.about = about
            self._listener.on_about(about)

    async def _look_whether_moved(self) -> None:
        """One that is cut off from the others answers on, but no relay writes there any more.

        Raises:
            RedisError: there is another one now.
        """
        if self.about is not None or time.monotonic() < self._moved_due_at:
            return
        self._moved_due_at = time.monotonic() + MOVED_LOOK_S
        await check_primary(self._client)

    async def _say_interests(self) -> None:
        due = self.interests.due()
        if not due:
            return
        async with self._client.pipeline(transaction=False) as pipe:
            for kind, job_id in due:
                fields: dict[Any, Any] = {"k": kind, "j": job_id}
                pipe.xadd(self.keys.interest, fields, maxlen=INTERESTS_KEPT, approximate=True)
            await asked(pipe.execute())

    async def close(self) -> None:
        """Closes all connections; others are made where there is need of them."""
        with contextlib.suppress(*AWAY):
            async with asyncio.timeout(ASK_LIMIT_S):
                await hang_up(self._client)

    async def _lose(self, error: Exception) -> None:
        """Redis is away: logged once, and no connection is used again."""
        # A mismatch is logged although it was logged that Redis was away.
        what = self.mismatch or "away"
        if self._told != what and self.mismatch:
            logger.warning("source %s is not served: %s", self.keys.source, self.mismatch)
        elif self._told != what:
            logger.warning("Redis cannot be read for %s: %s", self.keys.source, words(error))
        self.connected, self._told, self.about = False, what, None
        self._listener.on_about(None)
        await self.close()


def parts_of(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Cut entries into parts that take the loop for some milliseconds each."""
    part: list[Entry] = []
    size = 0
    for entry in entries:
        part.append(entry)
        size += sum(map(len, entry[1].values()))
        if len(part) >= TAKEN_AT_ONCE or size >= TAKEN_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part
