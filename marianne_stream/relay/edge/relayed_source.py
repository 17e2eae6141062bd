"""Source as an edge sees it: its roster, job states and events."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

import msgspec
from redis.asyncio import Redis

from marianne_stream.conductor_models import ConductorInfo
from marianne_stream.errors import (
    CorruptStateError,
    JobNotFoundError,
    LogForbiddenError,
    LogNotFoundError,
    MarianneStreamError,
    StateUnavailableError,
)
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.read_limiter import StateReadLimiter
from marianne_stream.models import JobState, MonitorEvent, RemotePosition, RosterEntry
from marianne_stream.relay.edge.source_reader import ReadPacing, SourceReader
from marianne_stream.relay.redis_client import call
from marianne_stream.relay.redis_streams import read_hash
from marianne_stream.relay.schema import (
    MAX_PUBLISHED_JOBS,
    EventEntry,
    InterestKind,
    SourceKeys,
    decode_object,
    encode_json,
    parse_roster_entry,
    parse_state,
    parse_unavailable,
)

logger = logging.getLogger(__name__)

# Time limit for a state or log that no edge has asked for before.
PUBLICATION_TIMEOUT_S = 5.0
PUBLICATION_POLL_S = 0.1

LOG_ERRORS: dict[str, type[MarianneStreamError]] = {
    error.code: error for error in (LogNotFoundError, LogForbiddenError)
}

# Least time between two reads of the roster, as a multiple of the time that the last one took.
ROSTER_REST_FACTOR = 10.0

DECODE_SLICE_ENTRIES = 250


class RelayedSource:
    """Source of jobs and events. Its client blocks in reads, so each source has its own.

    Args:
        client: client of Redis.
        keys: keys of the source.
        pacing: spacing of the reads.
        prefix: first part of the public ids of the source's jobs.
        on_status: called if the relay's status or the connection to Redis changes.
    """

    def __init__(
        self,
        client: Redis,
        keys: SourceKeys,
        pacing: ReadPacing,
        *,
        prefix: str,
        on_status: Callable[["RelayedSource"], None],
    ) -> None:
        self.reader = SourceReader(client, keys, pacing, self)
        self.name = keys.source
        self.prefix = prefix
        self._hub: JobHub | None = None
        self.read_limiter = StateReadLimiter()
        self._on_status = on_status
        self._is_roster_stale = True
        self._last_roster: Mapping[str, RosterEntry] = {}
        # Earliest time of the next read of the roster, by the loop's clock.
        self._roster_allowed_at = 0.0
        self._limit_reached = False
        # Epoch and number of the newest event.
        self._last_position: tuple[str, int] | None = None

    def set_hub(self, hub: JobHub | None) -> None:
        """Pass changes to a hub from now on, or to none."""
        self._hub = hub

    @property
    def is_live(self) -> bool:
        """True if the relay publishes what the conductor itself reports."""
        return self.reader.status is not None and self.reader.status.live

    @property
    def are_events_live(self) -> bool:
        """True if the relay receives the conductor's events."""
        return self.reader.status is not None and self.reader.status.events_live

    @property
    def conductor(self) -> ConductorInfo | None:
        """Information about the conductor; None if the relay is away, or has none."""
        return self.reader.status.conductor if self.reader.status is not None else None

    @property
    def version_mismatch(self) -> str:
        """Sentence about a format that this edge cannot read, or ""."""
        reason = self.reader.version_mismatch
        return f"Source {self.name!r} is not served: {reason}." if reason else ""

    @property
    def last_roster(self) -> Mapping[str, RosterEntry]:
        """The roster of the last read; empty if the format is another one."""
        return {} if self.reader.version_mismatch else self._last_roster

    @property
    def first_position(self) -> RemotePosition | None:
        """Position before the first event, if the relay is known but no event has arrived."""
        status = self.reader.status
        if status is None or not status.epoch or self._last_position is not None:
            return None
        return RemotePosition(self.name, status.epoch, 0)

    async def read_roster(self) -> Mapping[str, RosterEntry]:
        """Return the roster without invalid entries, read again if it has changed.

        Raises StateUnavailableError if Redis does not answer.
        """
        self._ensure_connected()
        loop = asyncio.get_running_loop()
        if not self._is_roster_stale:
            return self._last_roster
        if loop.time() < self._roster_allowed_at:
            # A source that keeps reporting changes must not take all of the time.
            loop.call_at(self._roster_allowed_at, self.on_roster_changed)
            return self._last_roster
        began = loop.time()
        # The roster may change again while it is read.
        self._is_roster_stale = False
        try:
            async with self.reader.client() as redis:
                values = await read_hash(redis, self.reader.keys.jobs, MAX_PUBLISHED_JOBS)
            self._last_roster = await decode_roster(values.values())
        except BaseException:
            self._is_roster_stale = True
            raise
        if len(values) == MAX_PUBLISHED_JOBS and not self._limit_reached:
            self._limit_reached = True
            logger.warning("jobs ignored source=%s limit=%d", self.name, MAX_PUBLISHED_JOBS)
        self._roster_allowed_at = loop.time() + ROSTER_REST_FACTOR * (loop.time() - began)
        return self._last_roster

    async def read_job(self, job_id: str) -> JobState:
        """Return the state of a job.

        Raises JobNotFoundError, or StateUnavailableError if nothing is published in time.
        """
        self._ensure_connected()
        self.reader.touch_state(job_id)
        data = await self.wait_until_published(
            "state", job_id, partial(self._read_published_state, job_id)
        )
        try:
            state = parse_state(data)
        except ValueError as error:
            raise CorruptStateError(f"the state of {job_id!r}: {error}") from error
        return replace(state, source="redis", live=self.is_live and state.live)

    async def _read_published_state(self, job_id: str) -> bytes | None:
        async with self.reader.client() as redis:
            found: bytes | None = await call(redis.hget(self.reader.keys.states, job_id))
        return found

    async def wait_until_published(
        self, kind: InterestKind, job_id: str, find: Callable[[], Awaitable[bytes | None]]
    ) -> bytes:
        """Return what `find` returns, as soon as it is not None.

        Raises the error that the relay publishes instead, or StateUnavailableError after a time
        limit.
        """
        reason_key = self.reader.keys.unavailable(kind, job_id)
        try:
            async with asyncio.timeout(PUBLICATION_TIMEOUT_S):
                while (found := await find()) is None:
                    async with self.reader.client() as redis:
                        reason = await call(redis.get(reason_key))
                    if reason is not None:
                        raise self._make_unavailable_error(kind, job_id, reason)
                    await asyncio.sleep(PUBLICATION_POLL_S)
        except TimeoutError as error:
            raise StateUnavailableError(
                f"{self.name} publishes no {kind} of {job_id!r}",
                detail=f"The conductor's server does not send this job's {kind} right now.",
            ) from error
        return found

    def _make_unavailable_error(
        self, kind: InterestKind, job_id: str, data: bytes
    ) -> MarianneStreamError:
        """Return the error by which the relay says why a state or log is unavailable."""
        try:
            reason = parse_unavailable(data)
        except ValueError as error:
            return StateUnavailableError(
                f"{self.name} publishes an invalid reason for the missing {kind} of {job_id!r}: "
                f"{error}"
            )
        if reason.code == JobNotFoundError.code:
            return JobNotFoundError(job_id)
        error_class = LOG_ERRORS.get(reason.code, StateUnavailableError)
        return error_class(f"{self.name}: {reason.detail}", detail=reason.detail)

    def on_roster_changed(self) -> None:
        """Read the roster again."""
        self._is_roster_stale = True
        if self._hub is not None:
            self._hub.roster.poller.poll_soon()

    def on_state_changed(self, job_id: str) -> None:
        """Read a job's state again."""
        if self._hub is not None:
            # A viewer may have asked by the short id.
            for public_id in {self.prefix + job_id, job_id}:
                self._hub.refresh_job(public_id)

    def on_status(self) -> None:
        """Pass a change of the status or the connection to the edge."""
        self._on_status(self)

    def on_events(self, entries: Iterable[EventEntry]) -> None:
        """Add each event once to the replay buffer, and a gap wherever a number is missing."""
        if self._hub is None:
            return
        buffer = self._hub.events.replay_buffer
        for entry in entries:
            last = self._last_position
            is_same_epoch = last is not None and last[0] == entry.epoch
            if last is not None and is_same_epoch and entry.number <= last[1]:
                continue
            # The first event of another epoch does not say what lies before it.
            follows = last is None or (is_same_epoch and entry.number == last[1] + 1)
            self._last_position = entry.epoch, entry.number
            position = RemotePosition(self.name, entry.epoch, entry.number)
            if not entry.event:
                buffer.add_gap(position=position, scope=self.prefix)
                continue
            if not follows:
                buffer.add_gap(scope=self.prefix)
            event = MonitorEvent(entry.job_id, entry.event, entry.params, position)
            buffer.add(add_prefix(event, self.prefix) if entry.job_id else event)

    def _ensure_connected(self) -> None:
        if self.reader.version_mismatch:
            raise StateUnavailableError(self.version_mismatch, detail=self.version_mismatch)
        if not self.reader.is_connected:
            raise StateUnavailableError("Redis does not answer", detail="Redis does not answer.")


async def decode_roster(values: Iterable[bytes]) -> dict[str, RosterEntry]:
    """Decode entries of a roster without invalid ones, and yield to the event loop meanwhile."""
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
        logger.debug("roster entries skipped count=%d: %s", len(faults), faults[0])
    return entries


def add_prefix(event: MonitorEvent, prefix: str) -> MonitorEvent:
    """Return an event with the public id of its job, in its parameters as well."""
    if not prefix:
        return event
    job_id = prefix + event.job_id
    with contextlib.suppress(ValueError):
        params = decode_object(event.params)
        if "job_id" in params:
            params["job_id"] = msgspec.Raw(encode_json(job_id))
            return replace(event, job_id=job_id, params=encode_json(params))
    return replace(event, job_id=job_id)
