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
from marianne_stream.jobs.turns import StateReadLimiter
from marianne_stream.jobs.watches import JobHub
from marianne_stream.models import JobState, MonitorEvent, RemotePosition, Roster, RosterEntry
from marianne_stream.relay.edges.reading import Pace
from marianne_stream.relay.edges.source import Source
from marianne_stream.relay.edges.source_names import SourceNames
from marianne_stream.relay.keys import Keys

logger = logging.getLogger(__name__)

# How often one looks for sources that were not there; at first, until there is one.
LOOK_S = 5.0
FIRST_LOOK_S = 0.5

# More are served only if sources names them: each costs connections, and a part of each id.
MOST_SOURCES = 100

NO_SOURCE = "No conductor has published anything yet."

decode_params = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
encode = msgspec.json.Encoder().encode


class Edge:
    """All sources that an edge serves, as one source of state.

    Where there are several, a job's id is `NAME:job`.

    Args:
        open_client: makes clients of Redis; the edge closes their connections.
        prefix: what all keys begin with.
        names: the sources that are served; where there are none, all that there are.
    """

    def __init__(self, open_client: Callable[[], Redis], prefix: str, names: Iterable[str]) -> None:
        self._open_client = open_client
        self._prefix = prefix
        self._all = not tuple(names)
        self._watches: JobHub | None = None
        self._names = SourceNames(open_client(), prefix)
        self._pace = Pace()
        self._is_full = False
        self._changed = asyncio.Event()
        self.sources: dict[str, Source] = {}
        self._add(names)

    @property
    def several(self) -> bool:
        """Whether a job's id says whose it is."""
        return len(self.sources) > 1

    async def run(self, watches: JobHub) -> None:
        """Reads all sources, until it is cancelled."""
        self._watches = watches
        reading: set[str] = set()
        try:
            async with asyncio.TaskGroup() as group:
                if self._all:
                    group.create_task(self._look_for_sources(), name="look for sources")
                while True:
                    self._changed.clear()
                    for name in self.sources.keys() - reading:
                        reading.add(name)
                        group.create_task(self.sources[name].reading.run(), name=f"read {name}")
                    await self._changed.wait()
        finally:
            self._watches = None

    async def _look_for_sources(self) -> None:
        try:
            while True:
                self._add(await self._names.read(self.sources))
                await asyncio.sleep(LOOK_S if self.sources else FIRST_LOOK_S)
        finally:
            await self._names.hang_up()

    def _add(self, names: Iterable[str]) -> None:
        new = sorted(set(names) - self.sources.keys())
        room = MOST_SOURCES - len(self.sources) if self._all else len(new)
        if len(new) > room and not self._is_full:
            self._is_full = True
            logger.warning("sources ignored limit=%d: name those in sources", MOST_SOURCES)
        for name in new[:room]:
            keys = Keys(self._prefix, name)
            self.sources[name] = Source(self._open_client(), keys, self._pace, self)
            self._pace.readings = len(self.sources)
            self._changed.set()
            self.on_jobs()

    async def read_roster(self) -> Roster:
        """Return the jobs of all sources; of one that cannot be read, those that it had last.

        Raises:
            StateUnavailableError: no source can be read.
        """
        if not self.sources:
            raise StateUnavailableError(NO_SOURCE, detail=NO_SOURCE)
        entries: dict[str, RosterEntry] = {}
        away: set[str] = set()
        faults: list[StateUnavailableError] = []
        sources = list(self.sources.values())
        for source in sources:
            live = source.live
            try:
                own = await source.entries()
            except StateUnavailableError as error:
                faults.append(error)
                own, live = source.known, False
            if not live:
                away.add(self._scope(source.name))
            for entry in own.values():
                shown = self._shown(source.name, entry.job_id)
                entries[shown] = replace(entry, job_id=shown)
            # What is made of a roster takes long enough without this.
            await asyncio.sleep(0)
        if len(faults) == len(sources):
            raise faults[0]
        return Roster(entries, source="redis", live=not away, unavailable_scopes=frozenset(away))

    def mismatches(self) -> list[str]:
        """Return a sentence for each source that is published in a format not known here."""
        return [source.mismatch for source in self.sources.values() if source.mismatch]

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """One job, of the source that its id names."""
        source, own = self.find(job_id)
        state = await source.job(own)
        status = entry.status if entry is not None else state.status
        return replace(state, job_id=job_id, status=status)

    def find(self, job_id: str) -> tuple[Source, str]:
        """The source of a job, and the job's id there: `NAME:job`, or an id that only one has.

        Raises:
            JobNotFoundError: several have it, or no source has that name.
            StateUnavailableError: there is no source yet.
        """
        if not self.sources:
            raise StateUnavailableError(NO_SOURCE, detail=NO_SOURCE)
        name, colon, own = job_id.partition(":")
        if colon and name in self.sources:
            return self.sources[name], own
        if not self.several:
            return next(iter(self.sources.values())), job_id
        having = [source for source in self.sources.values() if job_id in source.known]
        if len(having) != 1:
            raise JobNotFoundError(job_id)
        return having[0], job_id

    def name_of(self, job_id: str) -> str:
        """A job's id as it is shown here; the same where no job has it."""
        try:
            source, own = self.find(job_id)
        except (JobNotFoundError, StateUnavailableError):
            return job_id
        return self._shown(source.name, own)

    def _shown(self, source: str, job_id: str) -> str:
        return self._scope(source) + job_id

    def _scope(self, source: str) -> str:
        """What the ids of a source's jobs begin with."""
        return f"{source}:" if self.several else ""

    def read_limiter(self, job_id: str) -> StateReadLimiter:
        """Return the turns in which the jobs of a source are read; its own, as it may be slow."""
        try:
            return self.find(job_id)[0].read_limiter
        except (JobNotFoundError, StateUnavailableError):
            return StateReadLimiter()

    def group_name(self, job_id: str) -> str:
        """Return the name of a job's source, "" if there is none."""
        try:
            return self.find(job_id)[0].name
        except (JobNotFoundError, StateUnavailableError):
            return ""

    def on_event(self, event: MonitorEvent) -> None:
        """Puts an event onto the timeline, under the id that it has everywhere.

        No job is looked at for it: the source tells by itself what has become of it.
        """
        if self._watches is None:
            return
        if self.several and event.job_id and event.remote_position is not None:
            event = renamed(event, self._shown(event.remote_position.source, event.job_id))
        self._watches.replay_buffer.add(event)

    def on_gap(self, source: str, place: RemotePosition | None) -> None:
        """Says that events are missing."""
        if self._watches is not None:
            self._watches.replay_buffer.add_gap(position=place, scope=self._scope(source))

    def on_begun(self, place: RemotePosition) -> None:
        """Where a timeline begins of which nothing was told yet."""
        if self._watches is not None:
            self._watches.replay_buffer.positions.register_source(
                place.source, place.epoch, place.number
            )

    def on_jobs(self) -> None:
        """Has the roster read again."""
        if self._watches is not None:
            self._watches.poll_roster_soon()

    def on_state(self, source: str, job_id: str) -> None:
        """Has a job looked at again."""
        if self._watches is not None:
            # Somebody may have come while there was one source.
            for name in {self._shown(source, job_id), job_id}:
                self._watches.refresh_job(name)

    def on_life(self, source: str) -> None:
        """Says where a source's state comes from now, and whether its events come in."""
        if self._watches is None:
            return
        sources = self.sources.values()
        if any(each.begun for each in sources) and all(each.tried for each in sources):
            self._watches.replay_buffer.mark_ready()
        away = frozenset(self._scope(each.name) for each in sources if not each.events_live)
        self._watches.event_intake.set_unavailable_scopes(away)
        self._watches.poll_roster_soon()
        self._watches.refresh_jobs(lambda job_id: self.group_name(job_id) == source)

    async def close(self) -> None:
        """Closes all connections."""
        for source in self.sources.values():
            await source.reading.close()


def renamed(event: MonitorEvent, job_id: str) -> MonitorEvent:
    """An event under another name of its job, in what it says, too."""
    with contextlib.suppress(ValueError):
        params = decode_params(event.params)
        if "job_id" in params:
            params["job_id"] = msgspec.Raw(encode(job_id))
            return replace(event, job_id=job_id, params=encode(params))
    return replace(event, job_id=job_id)
