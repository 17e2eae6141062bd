"""An edge: what sources publish in Redis, as a source of state and a monitor of events.

It stands in the conductor's place. It must not know who asks, or how viewers are reached.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

import msgspec
from redis.asyncio import Redis

from marianne_stream.errors import JobNotFoundError, StateUnavailableError
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.read_limiter import StateReadLimiter
from marianne_stream.models import JobState, MonitorEvent, RemotePosition, Roster, RosterEntry
from marianne_stream.relay.edge.relayed_source import RelayedSource
from marianne_stream.relay.edge.source_discovery import SourceDiscovery
from marianne_stream.relay.edge.source_reader import ReadPacer
from marianne_stream.relay.redis_keys import SourceKeys

logger = logging.getLogger(__name__)

# How often one looks for sources that were not there; at first, until there is one.
DISCOVERY_INTERVAL_S = 5.0
FIRST_DISCOVERY_INTERVAL_S = 0.5

# More are served only if sources names them: each costs connections, and a part of each id.
MAX_SOURCES = 100

NO_SOURCE_DETAIL = "No conductor has published anything yet."

decode_params = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
encode_json = msgspec.json.Encoder().encode


class Edge:
    """All sources that an edge serves, as one source of state.

    Where there are several, a job's id is `NAME:job`.

    Args:
        make_client: makes clients of Redis; the edge closes their connections.
        prefix: what all keys begin with.
        source_names: the sources that are served; where there are none, all that there are.
    """

    def __init__(
        self, make_client: Callable[[], Redis], prefix: str, source_names: Iterable[str]
    ) -> None:
        self._make_client = make_client
        self._prefix = prefix
        self._discovers_sources = not tuple(source_names)
        self._hub: JobHub | None = None
        self._discovery = SourceDiscovery(make_client(), prefix)
        self._pacer = ReadPacer()
        self._limit_reached = False
        self._sources_changed = asyncio.Event()
        self.sources: dict[str, RelayedSource] = {}
        self._add_sources(source_names)

    @property
    def is_multi_source(self) -> bool:
        """Whether a job's id says whose it is."""
        return len(self.sources) > 1

    async def run(self, hub: JobHub) -> None:
        """Reads all sources, until it is cancelled."""
        self._hub = hub
        reading: set[str] = set()
        try:
            async with asyncio.TaskGroup() as group:
                if self._discovers_sources:
                    group.create_task(self._discover_sources(), name="look for sources")
                while True:
                    self._sources_changed.clear()
                    for name in self.sources.keys() - reading:
                        reading.add(name)
                        group.create_task(self.sources[name].reader.run(), name=f"read {name}")
                    await self._sources_changed.wait()
        finally:
            self._hub = None

    async def _discover_sources(self) -> None:
        try:
            while True:
                self._add_sources(await self._discovery.find_new(self.sources))
                await asyncio.sleep(
                    DISCOVERY_INTERVAL_S if self.sources else FIRST_DISCOVERY_INTERVAL_S
                )
        finally:
            await self._discovery.close()

    def _add_sources(self, names: Iterable[str]) -> None:
        new = sorted(set(names) - self.sources.keys())
        room = MAX_SOURCES - len(self.sources) if self._discovers_sources else len(new)
        if len(new) > room and not self._limit_reached:
            self._limit_reached = True
            logger.warning("sources ignored limit=%d: name those in sources", MAX_SOURCES)
        for name in new[:room]:
            keys = SourceKeys(self._prefix, name)
            self.sources[name] = RelayedSource(self._make_client(), keys, self._pacer, self)
            self._pacer.reader_count = len(self.sources)
            self._sources_changed.set()
            self.on_roster_changed()

    async def read_roster(self) -> Roster:
        """Return the jobs of all sources; of one that cannot be read, those that it had last.

        Raises:
            StateUnavailableError: no source can be read.
        """
        if not self.sources:
            raise StateUnavailableError(NO_SOURCE_DETAIL, detail=NO_SOURCE_DETAIL)
        entries: dict[str, RosterEntry] = {}
        away: set[str] = set()
        faults: list[StateUnavailableError] = []
        sources = list(self.sources.values())
        for source in sources:
            live = source.is_live
            try:
                own = await source.read_roster()
            except StateUnavailableError as error:
                faults.append(error)
                own, live = source.last_roster, False
            if not live:
                away.add(self._job_id_prefix(source.name))
            for entry in own.values():
                shown = self._make_public_id(source.name, entry.job_id)
                entries[shown] = replace(entry, job_id=shown)
            # What is made of a roster takes long enough without this.
            await asyncio.sleep(0)
        if len(faults) == len(sources):
            raise faults[0]
        return Roster(entries, source="redis", live=not away, unavailable_scopes=frozenset(away))

    def version_mismatches(self) -> list[str]:
        """Return a sentence for each source that is published in a format not known here."""
        return [
            source.version_mismatch for source in self.sources.values() if source.version_mismatch
        ]

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """One job, of the source that its id names."""
        source, own = self.split_job_id(job_id)
        state = await source.read_job(own)
        status = entry.status if entry is not None else state.status
        return replace(state, job_id=job_id, status=status)

    def split_job_id(self, job_id: str) -> tuple[RelayedSource, str]:
        """The source of a job, and the job's id there: `NAME:job`, or an id that only one has.

        Raises:
            JobNotFoundError: several have it, or no source has that name.
            StateUnavailableError: there is no source yet.
        """
        if not self.sources:
            raise StateUnavailableError(NO_SOURCE_DETAIL, detail=NO_SOURCE_DETAIL)
        name, colon, own = job_id.partition(":")
        if colon and name in self.sources:
            return self.sources[name], own
        if not self.is_multi_source:
            return next(iter(self.sources.values())), job_id
        having = [source for source in self.sources.values() if job_id in source.last_roster]
        if len(having) != 1:
            raise JobNotFoundError(job_id)
        return having[0], job_id

    def public_job_id(self, job_id: str) -> str:
        """A job's id as it is shown here; the same where no job has it."""
        try:
            source, own = self.split_job_id(job_id)
        except (JobNotFoundError, StateUnavailableError):
            return job_id
        return self._make_public_id(source.name, own)

    def _make_public_id(self, source: str, job_id: str) -> str:
        return self._job_id_prefix(source) + job_id

    def _job_id_prefix(self, source: str) -> str:
        """What the ids of a source's jobs begin with."""
        return f"{source}:" if self.is_multi_source else ""

    def read_limiter(self, job_id: str) -> StateReadLimiter:
        """Return the turns in which the jobs of a source are read; its own, as it may be slow."""
        try:
            return self.split_job_id(job_id)[0].read_limiter
        except (JobNotFoundError, StateUnavailableError):
            return StateReadLimiter()

    def group_name(self, job_id: str) -> str:
        """Return the name of a job's source, "" if there is none."""
        try:
            return self.split_job_id(job_id)[0].name
        except (JobNotFoundError, StateUnavailableError):
            return ""

    def on_event(self, event: MonitorEvent) -> None:
        """Puts an event onto the timeline, under the id that it has everywhere.

        No job is looked at for it: the source tells by itself what has become of it.
        """
        if self._hub is None:
            return
        if self.is_multi_source and event.job_id and event.remote_position is not None:
            event = with_job_id(
                event, self._make_public_id(event.remote_position.source, event.job_id)
            )
        self._hub.replay_buffer.add(event)

    def on_gap(self, source: str, position: RemotePosition | None) -> None:
        """Says that events are missing."""
        if self._hub is not None:
            self._hub.replay_buffer.add_gap(position=position, scope=self._job_id_prefix(source))

    def on_position(self, position: RemotePosition) -> None:
        """Where a timeline begins of which nothing was told yet."""
        if self._hub is not None:
            self._hub.replay_buffer.positions.register_source(
                position.source, position.epoch, position.number
            )

    def on_roster_changed(self) -> None:
        """Has the roster read again."""
        if self._hub is not None:
            self._hub.poll_roster_soon()

    def on_state_changed(self, source: str, job_id: str) -> None:
        """Has a job looked at again."""
        if self._hub is not None:
            # Somebody may have come while there was one source.
            for name in {self._make_public_id(source, job_id), job_id}:
                self._hub.refresh_job(name)

    def on_source_status(self, source: str) -> None:
        """Says where a source's state comes from now, and whether its events come in."""
        if self._hub is None:
            return
        sources = self.sources.values()
        if any(each.is_caught_up for each in sources) and all(
            each.was_attempted for each in sources
        ):
            self._hub.replay_buffer.mark_ready()
        away = frozenset(
            self._job_id_prefix(each.name) for each in sources if not each.are_events_live
        )
        self._hub.event_intake.set_unavailable_scopes(away)
        self._hub.poll_roster_soon()
        self._hub.refresh_jobs(lambda job_id: self.group_name(job_id) == source)

    async def close(self) -> None:
        """Closes all connections."""
        for source in self.sources.values():
            await source.reader.close()


def with_job_id(event: MonitorEvent, job_id: str) -> MonitorEvent:
    """An event under another name of its job, in what it says, too."""
    with contextlib.suppress(ValueError):
        params = decode_params(event.params)
        if "job_id" in params:
            params["job_id"] = msgspec.Raw(encode_json(job_id))
            return replace(event, job_id=job_id, params=encode_json(params))
    return replace(event, job_id=job_id)
