"""An edge: what sources publish in Redis, as a source of state and a monitor of events.

It stands in the conductor's place. It must not know who asks, or how viewers are reached.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace

import msgspec

from marianne_stream.errors import JobNotFoundError, StateUnavailableError
from marianne_stream.jobs.watches import Watches
from marianne_stream.models import EventPlace, JobState, MonitorEvent, Roster, RosterEntry
from marianne_stream.relay.edges.reading import Pace
from marianne_stream.relay.edges.source import Source
from marianne_stream.relay.keys import Keys, sources_key
from marianne_stream.relay.servers import Server
from marianne_stream.relay.source_names import SourceNames

logger = logging.getLogger(__name__)

# How often one looks for sources that were not there; at first, until there is one.
LOOK_S = 5.0
FIRST_LOOK_S = 0.5

NO_SOURCE = "No conductor has published anything yet."

decode_params = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
encode = msgspec.json.Encoder().encode


class Edge:
    """All sources that an edge serves, as one source of state.

    Where there are several, a job's id is `NAME:job`.

    Args:
        find_server: says where a key is; the edge closes its connections.
        prefix: what all keys begin with.
        names: the sources that are served; where there are none, all that there are.
    """

    def __init__(
        self, find_server: Callable[[str], Server], prefix: str, names: Iterable[str]
    ) -> None:
        self._find_server = find_server
        self._prefix = prefix
        self._all = not tuple(names)
        self._watches: Watches | None = None
        self._name = secrets.token_hex(6)
        self._names = SourceNames(find_server(sources_key(prefix)), prefix)
        self._pace = Pace()
        self._events_live = False
        self._changed = asyncio.Event()
        self.sources: dict[str, Source] = {}
        self._add(names)

    @property
    def several(self) -> bool:
        """Whether a job's id says whose it is."""
        return len(self.sources) > 1

    async def run(self, watches: Watches) -> None:
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
                self._add(await self._names.read(first=not self.sources))
                await asyncio.sleep(LOOK_S if self.sources else FIRST_LOOK_S)
        finally:
            await self._names.hang_up()

    def _add(self, names: Iterable[str]) -> None:
        for name in sorted(set(names) - self.sources.keys()):
            keys = Keys(self._prefix, name)
            server = self._find_server(keys.news)
            self.sources[name] = Source(server, keys, self._name, self._pace, self)
            self._pace.readings = len(self.sources)
            self._changed.set()
            self.on_jobs()

    async def roster(self) -> Roster:
        """The jobs of all sources."""
        if not self.sources:
            raise StateUnavailableError(NO_SOURCE, detail=NO_SOURCE)
        entries: dict[str, RosterEntry] = {}
        for source in self.sources.values():
            for entry in (await source.entries()).values():
                shown = self._shown(source.name, entry.job_id)
                entries[shown] = replace(entry, job_id=shown)
        live = all(source.live for source in self.sources.values())
        return Roster(entries, source="redis", live=live)

    async def job(self, job_id: str, entry: RosterEntry | None) -> JobState:
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
        return f"{source}:{job_id}" if self.several else job_id

    def on_event(self, event: MonitorEvent) -> None:
        """Puts an event onto the timeline, under the id that it has everywhere.

        No job is looked at for it: the source tells by itself what has become of it.
        """
        if self._watches is None:
            return
        if self.several and event.job_id and event.place is not None:
            event = renamed(event, self._shown(event.place.source, event.job_id))
        self._watches.timeline.add(event)

    def on_gap(self, place: EventPlace | None) -> None:
        """Says that events are missing."""
        if self._watches is not None:
            self._watches.timeline.add_gap(place=place)

    def on_begun(self, place: EventPlace) -> None:
        """Where a timeline begins of which nothing was told yet."""
        if self._watches is not None:
            self._watches.timeline.places.begin(place.source, place.epoch, place.number)

    def on_jobs(self) -> None:
        """Has the roster read again."""
        if self._watches is not None:
            self._watches.bring_forward()

    def on_state(self, source: str, job_id: str) -> None:
        """Has a job looked at again."""
        if self._watches is not None:
            # Somebody may have come while there was one source.
            for name in {self._shown(source, job_id), job_id}:
                self._watches.look(name)

    def on_life(self) -> None:
        """Says where state comes from now, and whether events come in."""
        if self._watches is None:
            return
        if all(source.begun for source in self.sources.values()):
            self._watches.timeline.begun()
        live = all(source.events_live for source in self.sources.values())
        if live != self._events_live:
            self._events_live = live
            self._watches.events.say(live=live)
        self._watches.bring_forward()
        self._watches.look_at_all()

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
