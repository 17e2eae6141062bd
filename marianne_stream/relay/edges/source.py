"""One source, as an edge sees it: what it publishes of jobs, and what it says of itself.

It must not know of other sources, or who asks.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from redis.asyncio import Redis

from marianne_stream.errors import CorruptStateError, JobNotFoundError, StateUnavailableError
from marianne_stream.jobs.turns import StateReadLimiter
from marianne_stream.models import JobState, MonitorEvent, RemotePosition, RosterEntry
from marianne_stream.relay.connecting import asked
from marianne_stream.relay.edges.reading import Pace, SourceReading
from marianne_stream.relay.format import MOST_JOBS, About, EventEntry
from marianne_stream.relay.keys import Keys
from marianne_stream.relay.streams import hash_fields
from marianne_stream.relay.validation import parse_missing, parse_roster_entry, parse_state

logger = logging.getLogger(__name__)

# How long a state may take that nobody has asked for before.
FIRST_STATE_S = 5.0
LOOK_EVERY_S = 0.1

# The roster is read again after so many times as long as it took to read.
REST_FACTOR = 10.0

DECODED_AT_ONCE = 250


class Teller(Protocol):
    """Who is told what a source says, under the names that jobs have on this edge."""

    def on_event(self, event: MonitorEvent, /) -> None:
        """An event of a job, by the source's own name for it."""

    def on_gap(self, source: str, place: RemotePosition | None, /) -> None:
        """Events are missing: the source says so, or it was found here."""

    def on_begun(self, place: RemotePosition, /) -> None:
        """Where a source stands of which no event was told yet."""

    def on_jobs(self, /) -> None:
        """The roster has changed."""

    def on_state(self, source: str, job_id: str, /) -> None:
        """The state of a job has changed, as the source names it."""

    def on_life(self, source: str, /) -> None:
        """A source has come or gone, or says something else of itself."""


class Source:
    """One source.

    Args:
        client: of Redis; this source's own, whose reads may wait.
        keys: the source's.
        pace: how far apart reads begin.
        teller: who is told.

    Attributes:
        reading: what is read of it.
        name: its name.
        begun: whether all events were told that were there when reading began.
        tried: whether reading began, or failed to.
        read_limiter: the turns in which its jobs are read.
    """

    def __init__(self, client: Redis, keys: Keys, pace: Pace, teller: Teller) -> None:
        self.reading = SourceReading(client, keys, pace, self)
        self.name = keys.source
        self.begun = self.tried = False
        self.read_limiter = StateReadLimiter()
        self._teller = teller
        self._entries: dict[str, RosterEntry] | None = None
        self._known: Mapping[str, RosterEntry] = {}
        self._read_again = 0
        # When the roster may be read again, by the loop's clock.
        self._due_at = 0.0
        self._is_full = False
        # Where its timeline stands that was told last.
        self._told: tuple[str, int] | None = None
        self._news = asyncio.Event()

    @property
    def about(self) -> About | None:
        """What its relay says of itself; None while it is away, or Redis is."""
        return self.reading.about

    @property
    def live(self) -> bool:
        """Whether the conductor itself says what is published."""
        return self.about is not None and self.about.live

    @property
    def events_live(self) -> bool:
        """Whether the conductor's events come in."""
        return self.about is not None and self.about.events_live

    @property
    def mismatch(self) -> str:
        """A sentence if the source is published in another format than this edge reads, else ""."""
        why = self.reading.mismatch
        return f"Source {self.name!r} is not served: {why}." if why else ""

    @property
    def known(self) -> Mapping[str, RosterEntry]:
        """The roster that was read last; none of a source in another format."""
        return {} if self.reading.mismatch else self._known

    async def entries(self) -> Mapping[str, RosterEntry]:
        """Return the roster, read again when it has changed; invalid entries are left out.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        self._check_connected()
        loop = asyncio.get_running_loop()
        if self._entries is not None:
            return self._entries
        if loop.time() < self._due_at:
            # A source that always says that its roster has changed does not get all of the time.
            loop.call_at(self._due_at, self._teller.on_jobs)
            return self._known
        # What is said to have changed while it was read is read again the next time.
        turn, began = self._read_again, loop.time()
        async with self.reading.asking() as redis:
            raw = await hash_fields(redis, self.reading.keys.jobs, MOST_JOBS)
        if len(raw) == MOST_JOBS and not self._is_full:
            self._is_full = True
            logger.warning("jobs ignored source=%s limit=%d", self.name, MOST_JOBS)
        self._known = entries = await roster_of(raw.values())
        self._due_at = loop.time() + REST_FACTOR * (loop.time() - began)
        if turn == self._read_again:
            self._entries = entries
        return entries

    async def job(self, job_id: str) -> JobState:
        """One job.

        Raises:
            JobNotFoundError: the source says that there is none.
            StateUnavailableError: Redis does not answer, or nothing is published in time.
        """
        self._check_connected()
        self.reading.interests.touch(job_id)
        try:
            async with asyncio.timeout(FIRST_STATE_S):
                while (state := await self._published(job_id)) is None:
                    await self._until_news()
        except TimeoutError as error:
            raise StateUnavailableError(f"{self.name} publishes no state of {job_id!r}") from error
        return replace(state, source="redis", live=self.live and state.live)

    def _check_connected(self) -> None:
        if self.reading.mismatch:
            raise StateUnavailableError(self.mismatch, detail=self.mismatch)
        if not self.reading.connected:
            raise StateUnavailableError("Redis does not answer", detail="Redis does not answer.")

    async def _published(self, job_id: str) -> JobState | None:
        keys = self.reading.keys
        async with self.reading.asking() as redis:
            raw = await asked(redis.hget(keys.states, job_id))
            missing = await asked(redis.get(keys.missing("state", job_id))) if raw is None else None
        try:
            if raw is not None:
                return parse_state(raw)
            word = parse_missing(missing) if missing is not None else None
        except ValueError as error:
            raise CorruptStateError(f"the state of {job_id!r}: {error}") from error
        if word is None:
            return None
        if word.code == JobNotFoundError.code:
            raise JobNotFoundError(job_id)
        raise StateUnavailableError(f"{self.name}: {word.detail}", detail=word.detail)

    async def _until_news(self) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._news.wait()
        except TimeoutError:
            # A word of what is missing comes without news.
            return

    def on_events(self, entries: list[EventEntry]) -> None:
        """Tells of events, each once, and of a gap wherever a number is left out."""
        for entry in entries:
            if self._told is not None and self._told[0] == entry.epoch:
                if entry.number <= self._told[1]:
                    continue
                if entry.event and entry.number != self._told[1] + 1:
                    self._teller.on_gap(self.name, None)
            elif self._told is not None and entry.event:
                # Another process numbers them, and says nothing of what lies between.
                self._teller.on_gap(self.name, None)
            self._told = entry.epoch, entry.number
            place = RemotePosition(self.name, entry.epoch, entry.number)
            if entry.event:
                event = MonitorEvent(entry.job_id, entry.event, entry.params, place)
                self._teller.on_event(event)
            else:
                self._teller.on_gap(self.name, place)

    def on_begun(self) -> None:
        """Has everything read again: news may have been missed."""
        self.begun = self.tried = True
        self.on_jobs()
        self._teller.on_life(self.name)

    def on_jobs(self) -> None:
        """Has the roster read again."""
        self._entries = None
        self._read_again += 1
        self._teller.on_jobs()

    def on_state(self, job_id: str) -> None:
        """Has a job looked at again."""
        self._news.set()
        self._teller.on_state(self.name, job_id)

    def on_about(self, about: About | None) -> None:
        """Says where state comes from now, and whether events come in."""
        self.tried = True
        if about is not None and about.epoch and self._told is None:
            self._teller.on_begun(RemotePosition(self.name, about.epoch, 0))
        self._teller.on_life(self.name)


async def roster_of(values: Iterable[bytes]) -> dict[str, RosterEntry]:
    """Decode the entries of a roster, without those that are invalid, some at a time."""
    entries: dict[str, RosterEntry] = {}
    faults = []
    for number, value in enumerate(values, 1):
        try:
            entry = parse_roster_entry(value)
        except ValueError as error:
            faults.append(error)
        else:
            entries[entry.job_id] = entry
        if not number % DECODED_AT_ONCE:
            await asyncio.sleep(0)
    if faults:
        logger.debug("skipped %d roster entries: %s", len(faults), faults[0])
    return entries
