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
from marianne_stream.jobs.read_limiter import StateReadLimiter
from marianne_stream.models import JobState, MonitorEvent, RemotePosition, RosterEntry
from marianne_stream.relay.edge.source_reader import ReadPacer, SourceReader
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.redis_keys import SourceKeys
from marianne_stream.relay.redis_streams import read_hash
from marianne_stream.relay.schema import MAX_PUBLISHED_JOBS, EventEntry, RelayStatus
from marianne_stream.relay.validation import parse_roster_entry, parse_state, parse_unavailable

logger = logging.getLogger(__name__)

# How long a state may take that nobody has asked for before.
FIRST_STATE_TIMEOUT_S = 5.0
STATE_POLL_S = 0.1

# The roster is read again after so many times as long as it took to read.
REST_FACTOR = 10.0

DECODE_SLICE_ENTRIES = 250


class SourceListener(Protocol):
    """Who is told what a source says, under the names that jobs have on this edge."""

    def on_event(self, event: MonitorEvent, /) -> None:
        """An event of a job, by the source's own name for it."""

    def on_gap(self, source: str, position: RemotePosition | None, /) -> None:
        """Events are missing: the source says so, or it was found here."""

    def on_position(self, position: RemotePosition, /) -> None:
        """Where a source stands of which no event was told yet."""

    def on_roster_changed(self, /) -> None:
        """The roster has changed."""

    def on_state_changed(self, source: str, job_id: str, /) -> None:
        """The state of a job has changed, as the source names it."""

    def on_source_status(self, source: str, /) -> None:
        """A source has come or gone, or says something else of itself."""


class RelayedSource:
    """One source.

    Args:
        client: of Redis; this source's own, whose reads may wait.
        keys: the source's.
        pacer: how far apart reads begin.
        listener: who is told.

    Attributes:
        reader: what is read of it.
        name: its name.
        is_caught_up: whether all events were told that were there when reading began.
        was_attempted: whether reading began, or failed to.
        read_limiter: the turns in which its jobs are read.
    """

    def __init__(
        self, client: Redis, keys: SourceKeys, pacer: ReadPacer, listener: SourceListener
    ) -> None:
        self.reader = SourceReader(client, keys, pacer, self)
        self.name = keys.source
        self.is_caught_up = self.was_attempted = False
        self.read_limiter = StateReadLimiter()
        self._listener = listener
        self._roster: dict[str, RosterEntry] | None = None
        self._last_roster: Mapping[str, RosterEntry] = {}
        self._roster_version = 0
        # When the roster may be read again, by the loop's clock.
        self._roster_allowed_at = 0.0
        self._limit_reached = False
        # Where its timeline stands that was told last.
        self._last_position: tuple[str, int] | None = None
        self._state_changed = asyncio.Event()

    @property
    def status(self) -> RelayStatus | None:
        """What its relay says of itself; None while it is away, or Redis is."""
        return self.reader.status

    @property
    def is_live(self) -> bool:
        """Whether the conductor itself says what is published."""
        return self.status is not None and self.status.live

    @property
    def are_events_live(self) -> bool:
        """Whether the conductor's events come in."""
        return self.status is not None and self.status.events_live

    @property
    def version_mismatch(self) -> str:
        """A sentence if the source is published in another format than this edge reads, else ""."""
        why = self.reader.version_mismatch
        return f"Source {self.name!r} is not served: {why}." if why else ""

    @property
    def last_roster(self) -> Mapping[str, RosterEntry]:
        """The roster that was read last; none of a source in another format."""
        return {} if self.reader.version_mismatch else self._last_roster

    async def read_roster(self) -> Mapping[str, RosterEntry]:
        """Return the roster, read again when it has changed; invalid entries are left out.

        Raises:
            StateUnavailableError: Redis does not answer.
        """
        self._ensure_connected()
        loop = asyncio.get_running_loop()
        if self._roster is not None:
            return self._roster
        if loop.time() < self._roster_allowed_at:
            # A source that always says that its roster has changed does not get all of the time.
            loop.call_at(self._roster_allowed_at, self._listener.on_roster_changed)
            return self._last_roster
        # What is said to have changed while it was read is read again the next time.
        turn, began = self._roster_version, loop.time()
        async with self.reader.client() as redis:
            raw = await read_hash(redis, self.reader.keys.jobs, MAX_PUBLISHED_JOBS)
        if len(raw) == MAX_PUBLISHED_JOBS and not self._limit_reached:
            self._limit_reached = True
            logger.warning("jobs ignored source=%s limit=%d", self.name, MAX_PUBLISHED_JOBS)
        self._last_roster = entries = await decode_roster(raw.values())
        self._roster_allowed_at = loop.time() + REST_FACTOR * (loop.time() - began)
        if turn == self._roster_version:
            self._roster = entries
        return entries

    async def read_job(self, job_id: str) -> JobState:
        """One job.

        Raises:
            JobNotFoundError: the source says that there is none.
            StateUnavailableError: Redis does not answer, or nothing is published in time.
        """
        self._ensure_connected()
        self.reader.interest_sender.touch_state(job_id)
        try:
            async with asyncio.timeout(FIRST_STATE_TIMEOUT_S):
                while (state := await self._read_published_state(job_id)) is None:
                    await self._wait_for_change()
        except TimeoutError as error:
            raise StateUnavailableError(f"{self.name} publishes no state of {job_id!r}") from error
        return replace(state, source="redis", live=self.is_live and state.live)

    def _ensure_connected(self) -> None:
        if self.reader.version_mismatch:
            raise StateUnavailableError(self.version_mismatch, detail=self.version_mismatch)
        if not self.reader.is_connected:
            raise StateUnavailableError("Redis does not answer", detail="Redis does not answer.")

    async def _read_published_state(self, job_id: str) -> JobState | None:
        keys = self.reader.keys
        async with self.reader.client() as redis:
            raw = await call(redis.hget(keys.states, job_id))
            missing = (
                await call(redis.get(keys.unavailable("state", job_id))) if raw is None else None
            )
        try:
            if raw is not None:
                return parse_state(raw)
            word = parse_unavailable(missing) if missing is not None else None
        except ValueError as error:
            raise CorruptStateError(f"the state of {job_id!r}: {error}") from error
        if word is None:
            return None
        if word.code == JobNotFoundError.code:
            raise JobNotFoundError(job_id)
        raise StateUnavailableError(f"{self.name}: {word.detail}", detail=word.detail)

    async def _wait_for_change(self) -> None:
        self._state_changed.clear()
        try:
            async with asyncio.timeout(STATE_POLL_S):
                await self._state_changed.wait()
        except TimeoutError:
            # A word of what is missing comes without news.
            return

    def on_events(self, entries: list[EventEntry]) -> None:
        """Tells of events, each once, and of a gap wherever a number is left out."""
        for entry in entries:
            if self._last_position is not None and self._last_position[0] == entry.epoch:
                if entry.number <= self._last_position[1]:
                    continue
                if entry.event and entry.number != self._last_position[1] + 1:
                    self._listener.on_gap(self.name, None)
            elif self._last_position is not None and entry.event:
                # Another process numbers them, and says nothing of what lies between.
                self._listener.on_gap(self.name, None)
            self._last_position = entry.epoch, entry.number
            place = RemotePosition(self.name, entry.epoch, entry.number)
            if entry.event:
                event = MonitorEvent(entry.job_id, entry.event, entry.params, place)
                self._listener.on_event(event)
            else:
                self._listener.on_gap(self.name, place)

    def on_connected(self) -> None:
        """Has everything read again: news may have been missed."""
        self.is_caught_up = self.was_attempted = True
        self.on_roster_changed()
        self._listener.on_source_status(self.name)

    def on_roster_changed(self) -> None:
        """Has the roster read again."""
        self._roster = None
        self._roster_version += 1
        self._listener.on_roster_changed()

    def on_state_changed(self, job_id: str) -> None:
        """Has a job looked at again."""
        self._state_changed.set()
        self._listener.on_state_changed(self.name, job_id)

    def on_status(self, status: RelayStatus | None) -> None:
        """Says where state comes from now, and whether events come in."""
        self.was_attempted = True
        if status is not None and status.epoch and self._last_position is None:
            self._listener.on_position(RemotePosition(self.name, status.epoch, 0))
        self._listener.on_source_status(self.name)


async def decode_roster(values: Iterable[bytes]) -> dict[str, RosterEntry]:
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
        if not number % DECODE_SLICE_ENTRIES:
            await asyncio.sleep(0)
    if faults:
        logger.debug("skipped %d roster entries: %s", len(faults), faults[0])
    return entries
