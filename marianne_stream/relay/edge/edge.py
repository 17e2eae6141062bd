"""Edge: backend and event source that reads what other servers publish to Redis.

If Redis is lost, each `SourceReader` retries with backoff and reports it by `on_status`. The jobs
of its source stay in the roster as they were last read, marked as not live.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from marianne_stream.common.task_set import run_until_first_failure
from marianne_stream.conductor_models import ConductorInfo
from marianne_stream.errors import (
    ConductorUnavailableError,
    JobNotFoundError,
    NotOnEdgeError,
    StateUnavailableError,
)
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.read_limiter import StateReadLimiter
from marianne_stream.models import Hook, JobState, Roster, RosterEntry
from marianne_stream.relay.edge.relayed_source import RelayedSource
from marianne_stream.relay.edge.source_reader import ReadPacing
from marianne_stream.relay.redis_client import make_client
from marianne_stream.relay.schema import SourceKeys


class Edge:
    """All sources that an edge serves. With several sources, a job's public id is `NAME:job`.

    Args:
        url: URL of Redis.
        password: password in place of the URL's, or None.
        prefix: first part of all keys.
        source_names: names of the sources, at least one.
    """

    def __init__(
        self, url: str, password: str | None, *, prefix: str, source_names: Sequence[str]
    ) -> None:
        self._hub: JobHub | None = None
        pacing = ReadPacing.for_sources(len(source_names))
        self.sources = {
            name: RelayedSource(
                make_client(url, password),
                SourceKeys(prefix, name),
                pacing,
                prefix=f"{name}:" if len(source_names) > 1 else "",
                on_status=self._on_status,
            )
            for name in sorted(source_names)
        }

    @property
    def is_multi_source(self) -> bool:
        """True if job ids begin with the name of their source."""
        return len(self.sources) > 1

    @property
    def public_names(self) -> tuple[str, ...]:
        """Names of the sources if there are several, else none."""
        return tuple(self.sources) if self.is_multi_source else ()

    async def run(self, hub: JobHub) -> None:
        """Read all sources until cancelled."""
        self._set_hub(hub)
        try:
            await run_until_first_failure(
                *(source.reader.run() for source in self.sources.values())
            )
        finally:
            self._set_hub(None)

    def _set_hub(self, hub: JobHub | None) -> None:
        self._hub = hub
        for source in self.sources.values():
            source.set_hub(hub)

    async def read_roster(self) -> Roster:
        """Return the jobs of all sources; of one that cannot be read, those of its last roster.

        Raises StateUnavailableError if no source can be read.
        """
        entries: dict[str, RosterEntry] = {}
        unavailable: set[str] = set()
        errors: list[StateUnavailableError] = []
        for source in self.sources.values():
            is_live = source.is_live
            try:
                own = await source.read_roster()
            except StateUnavailableError as error:
                errors.append(error)
                own, is_live = source.last_roster, False
            if not is_live:
                unavailable.add(source.prefix)
            for entry in own.values():
                public_id = source.prefix + entry.job_id
                entries[public_id] = replace(entry, job_id=public_id)
            # Each source may have thousands of jobs.
            await asyncio.sleep(0)
        if len(errors) == len(self.sources):
            raise errors[0]
        scopes = frozenset(unavailable)
        return Roster(entries, source="redis", live=not scopes, unavailable_scopes=scopes)

    async def read_conductors(self) -> dict[str, ConductorInfo]:
        """Return information about the conductors, by the prefix of their jobs' ids.

        Raises ConductorUnavailableError if no source publishes it.
        """
        infos = {
            source.prefix: source.conductor
            for source in self.sources.values()
            if source.conductor is not None
        }
        if not infos:
            raise ConductorUnavailableError("no source publishes anything about its conductor")
        return infos

    def version_mismatches(self) -> list[str]:
        """Return a sentence for each source whose format this edge cannot read."""
        return [
            source.version_mismatch for source in self.sources.values() if source.version_mismatch
        ]

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """Return the state of a job; raises as `split_job_id` and `RelayedSource.read_job` do."""
        source, own_id = self.split_job_id(job_id)
        state = await source.read_job(own_id)
        status = entry.status if entry is not None else state.status
        hooks = tuple(add_hook_prefix(hook, source.prefix) for hook in state.hooks)
        return replace(state, job_id=job_id, origin_job_id=own_id, status=status, hooks=hooks)

    def split_job_id(self, job_id: str) -> tuple[RelayedSource, str]:
        """Return the source of a job and its id there: `NAME:job`, or an id of one source alone.

        Raises JobNotFoundError.
        """
        name, colon, own_id = job_id.partition(":")
        if colon and name in self.sources:
            return self.sources[name], own_id
        if not self.is_multi_source:
            return next(iter(self.sources.values())), job_id
        owners = [source for source in self.sources.values() if job_id in source.last_roster]
        if len(owners) != 1:
            raise JobNotFoundError(job_id)
        return owners[0], job_id

    def _find_source(self, job_id: str) -> tuple[RelayedSource | None, str]:
        try:
            return self.split_job_id(job_id)
        except JobNotFoundError:
            return None, job_id

    def public_job_id(self, job_id: str) -> str:
        """Return the public id of a job, or the same id if no source has the job."""
        source, own_id = self._find_source(job_id)
        return source.prefix + own_id if source is not None else job_id

    async def read_checkpoint(self, job_id: str) -> bytes:
        """Raise the error that redirects to the origin."""
        raise self.not_here_error(job_id)

    def not_here_error(self, job_id: str | None, reason: str = "") -> NotOnEdgeError:
        """Return the error that redirects to the origin of a job, or for None to the only origin.

        Args:
            job_id: the job; None for all jobs.
            reason: sentence for the client, before that of the error.
        """
        own_id, sources = "", list(self.sources.values())
        if job_id is not None:
            source, own_id = self.split_job_id(job_id)
            sources = [source]
        status = sources[0].reader.status if len(sources) == 1 else None
        return NotOnEdgeError(
            own_id,
            origin_url=status.origin_url if status is not None else None,
            detail=f"{reason} {NotOnEdgeError.default_detail}".strip(),
        )

    def read_limiter(self, job_id: str) -> StateReadLimiter:
        """Return the limiter of the source's reads: a slow source must not delay another."""
        source, _ = self._find_source(job_id)
        return source.read_limiter if source is not None else StateReadLimiter()

    def group_name(self, job_id: str) -> str:
        """Return the name of a job's source, "" if there is none."""
        source, _ = self._find_source(job_id)
        return source.name if source is not None else ""

    def _on_status(self, source: RelayedSource) -> None:
        """Tell the hub which sources are available now."""
        if self._hub is None:
            return
        buffer, sources = self._hub.events.replay_buffer, self.sources.values()
        if (first := source.first_position) is not None:
            buffer.positions.register_source(source.name, first.epoch, first.number)
        readers = [each.reader for each in sources]
        if any(reader.session_count for reader in readers) and all(
            reader.was_attempted for reader in readers
        ):
            buffer.mark_ready()
        scopes = frozenset(each.prefix for each in sources if not each.are_events_live)
        self._hub.events.set_unavailable_scopes(scopes)
        self._hub.roster.poller.poll_soon()
        self._hub.refresh_jobs(lambda job_id: self.group_name(job_id) == source.name)

    async def close(self) -> None:
        """Close all connections."""
        for source in self.sources.values():
            await source.reader.close()


def add_hook_prefix(hook: Hook, prefix: str) -> Hook:
    """Return a hook with the public id of the job that it has started."""
    if not hook.chained_job_id:
        return hook
    return replace(hook, chained_job_id=prefix + hook.chained_job_id)
