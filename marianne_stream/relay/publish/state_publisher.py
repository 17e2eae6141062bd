"""Publishers of the roster, of job states, and of the status of the relay."""

import asyncio
import contextlib
import heapq
from collections.abc import Callable

from marianne_stream.common.task_set import run_until_first_failure
from marianne_stream.errors import JobNotFoundError, MarianneStreamError, StateUnavailableError
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.progress_tracker import get_forecast
from marianne_stream.jobs.roster_details import is_state_of_entry
from marianne_stream.jobs.roster_watchers import MAX_WATCHED_JOBS
from marianne_stream.jobs.snapshots import JobSnapshot, newest_first_key
from marianne_stream.models import JobState, Roster, RosterEntry
from marianne_stream.relay.publish.selection import JobTasks
from marianne_stream.relay.publish.writer import Command, Writer, delete_fields, set_fields
from marianne_stream.relay.schema import (
    MAX_PUBLISHED_JOBS,
    RelayStatus,
    SourceKeys,
    Unavailable,
    encode_json,
    make_published_entry,
    without_paths,
)
from marianne_stream.version import VERSION

ROSTER_INTERVAL_S = 2.0
STATE_INTERVAL_S = 2.0

STATUS_INTERVAL_S = 2.0
STATUS_TTL_S = 6

MAX_STREAM_CHANGES = 1000

# Lifetime of the key that says why a state or log is unavailable, and interval of its renewal.
UNAVAILABLE_TTL_S = 15
UNAVAILABLE_INTERVAL_S = 5.0

# The roster may report the end of a job this much later than its state.
ROSTER_LAG_S = 1.0


def make_change_command(keys: SourceKeys, change_kind: str, job_id: str = "") -> Command:
    """Return the command that announces a change: `status`, `jobs` or `state`."""
    job = ("j", job_id) if job_id else ()
    return Command(
        "XADD", keys.changes, ("MAXLEN", "~", str(MAX_STREAM_CHANGES), "*", "k", change_kind, *job)
    )


def make_unavailable_command(
    keys: SourceKeys, kind: str, job_id: str, error: MarianneStreamError
) -> Command:
    """Return the command that says why a state or log is unavailable."""
    reason = encode_json(Unavailable(error.code, error.detail))
    return Command("SET", keys.unavailable(kind, job_id), (reason, "EX", str(UNAVAILABLE_TTL_S)))


def publish_order(entry: RosterEntry) -> tuple[bool, float, str]:
    """Sort key of the jobs to publish: active jobs first, then the newest."""
    return (entry.is_terminal, *newest_first_key(entry))


def is_same_for_clients(one: JobState, other: JobState) -> bool:
    """Return whether a client gets no event for the difference of two states."""
    return one == other and get_forecast(one.progress) == get_forecast(other.progress)


class StatePublisher:
    """Publishes the status, the roster, and states of the newest and of the requested jobs.

    Args:
        hub: hub of the jobs, of which this is one more subscriber.
        keys: keys of the source.
        writer: writer with the lock of the source.
        public_url: address of this server for clients, or None.
        on_roster: called with each new roster.
    """

    def __init__(
        self,
        hub: JobHub,
        keys: SourceKeys,
        writer: Writer,
        *,
        public_url: str | None,
        on_roster: Callable[[Roster], None],
    ) -> None:
        self._hub = hub
        self._keys = keys
        self._writer = writer
        self._public_url = public_url
        self._on_roster = on_roster
        self._roster: Roster | None = None
        self._requested: set[str] = set()
        self._published: dict[str, JobState] = {}
        self._tasks = JobTasks()
        self._selection_changed = asyncio.Event()
        # The next roster sets this event, and replaces it by a new one.
        self._roster_changed = asyncio.Event()

    def on_interest(self, job_ids: set[str]) -> None:
        """Select the jobs whose states edges ask for."""
        self._requested = job_ids
        self._update_tasks()

    async def run(self) -> None:
        """Publish everything anew, and the changes, until cancelled; raises as `write` does."""
        await self._writer.write([Command("DEL", self._keys.states)])
        await run_until_first_failure(
            self._publish_status(),
            self._publish_roster(),
            self._tasks.run(self._publish_job),
            self._delete_stale(),
        )

    async def _publish_status(self) -> None:
        published: RelayStatus | None = None
        changed = self._roster_changed
        while True:
            # The first roster sets the status, unless none can be read.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATUS_INTERVAL_S):
                    await changed.wait()
            changed = self._roster_changed
            status = RelayStatus(
                source=self._hub.roster.source,
                live=self._roster is not None and self._roster.live,
                events_live=self._hub.events.is_live,
                origin_url=self._public_url,
                version=VERSION,
                epoch=self._hub.events.replay_buffer.epoch,
                conductor=self._hub.roster.conductors.infos.get(""),
            )
            ttl = ("EX", str(STATUS_TTL_S))
            commands = [Command("SET", self._keys.status, (encode_json(status), *ttl))]
            if status != published:
                commands.append(make_change_command(self._keys, "status"))
            await self._writer.write(commands)
            published = status

    async def _publish_roster(self) -> None:
        published: dict[str, bytes] | None = None
        while True:
            try:
                snapshot, subscription = await self._hub.roster.subscribe(ROSTER_INTERVAL_S)
            except StateUnavailableError:
                await asyncio.sleep(ROSTER_INTERVAL_S)
                continue
            try:
                while True:
                    published = await self._publish_changes(snapshot.roster, published)
                    await subscription.queue.wait()
                    snapshot = subscription.queue.take()
            finally:
                subscription.close()

    async def _publish_changes(
        self, roster: Roster, published: dict[str, bytes] | None
    ) -> dict[str, bytes]:
        """Publish the differences from the published entries, and return the new entries."""
        entries = heapq.nsmallest(MAX_PUBLISHED_JOBS, roster.entries.values(), key=publish_order)
        new = {entry.job_id: encode_json(make_published_entry(entry)) for entry in entries}
        known = published if published is not None else {}
        changed = {job_id: entry for job_id, entry in new.items() if known.get(job_id) != entry}
        removed = [job_id for job_id in known if job_id not in new]
        key = self._keys.jobs
        commands = [*set_fields(key, changed), *delete_fields(key, removed)]
        if published is None:
            # In one script with the new entries, so that no edge sees an empty roster.
            commands.insert(0, Command("DEL", key))
        if commands:
            await self._writer.write([*commands, make_change_command(self._keys, "jobs")])
        self._roster = roster
        self._roster_changed.set()
        self._roster_changed = asyncio.Event()
        self._update_tasks()
        self._on_roster(roster)
        return new

    def _update_tasks(self) -> None:
        self._tasks.select(self._select_jobs())
        self._selection_changed.set()

    def _select_jobs(self) -> set[str]:
        entries = self._roster.entries.values() if self._roster is not None else ()
        active = (
            entry for entry in entries if not entry.is_terminal or self._is_end_unpublished(entry)
        )
        newest = heapq.nsmallest(MAX_WATCHED_JOBS, active, key=newest_first_key)
        return self._requested.union(entry.job_id for entry in newest)

    def _is_end_unpublished(self, entry: RosterEntry) -> bool:
        """Return whether a job's state was published, but not its end."""
        return entry.job_id in self._published and not self._is_end_published(entry.job_id)

    async def _delete_stale(self) -> None:
        """Delete the states that are no longer kept current."""
        while True:
            await self._selection_changed.wait()
            self._selection_changed.clear()
            selected = self._select_jobs()
            stale = [
                job_id
                for job_id in self._published
                if job_id not in selected and not self._is_end_published(job_id)
            ]
            for job_id in stale:
                del self._published[job_id]
            await self._writer.write(delete_fields(self._keys.states, stale))

    def _is_end_published(self, job_id: str) -> bool:
        entry = self._roster.entries.get(job_id) if self._roster is not None else None
        state = self._published.get(job_id)
        return (
            entry is not None
            and state is not None
            and state.is_final
            and entry.status == state.status
            and is_state_of_entry(state, entry)
        )

    async def _publish_job(self, job_id: str) -> None:
        """Publish one job's state and its changes until cancelled."""
        while True:
            try:
                snapshot, subscription = await self._hub.subscribe_job(job_id, STATE_INTERVAL_S)
            except MarianneStreamError as error:
                await self._publish_unavailable(job_id, error)
                continue
            try:
                await self._publish_snapshot(snapshot)
                while not snapshot.end and await subscription.queue.wait():
                    snapshot = subscription.queue.take()
                    await self._publish_snapshot(snapshot)
            finally:
                subscription.close()
            if snapshot.end == "deleted":
                await self._publish_unavailable(job_id, JobNotFoundError(job_id))
            else:
                await self._wait_for_rerun(job_id)

    async def _publish_snapshot(self, snapshot: JobSnapshot) -> None:
        # Paths never leave the host.
        state = without_paths(snapshot.state)
        job_id = state.job_id
        known = self._published.get(job_id)
        if snapshot.end == "deleted" or (known is not None and is_same_for_clients(known, state)):
            return
        self._published[job_id] = state
        set_state = Command("HSET", self._keys.states, (job_id, encode_json(state)))
        await self._writer.write([set_state, make_change_command(self._keys, "state", job_id)])

    async def _publish_unavailable(self, job_id: str, error: MarianneStreamError) -> None:
        """Publish why a job's state is unavailable; return when it is time to try again."""
        commands = [
            make_unavailable_command(self._keys, "state", job_id, error),
            make_change_command(self._keys, "state", job_id),
        ]
        if isinstance(error, JobNotFoundError):
            self._published.pop(job_id, None)
            commands.insert(0, Command("HDEL", self._keys.states, (job_id,)))
        await self._writer.write(commands)
        await asyncio.sleep(UNAVAILABLE_INTERVAL_S)

    async def _wait_for_rerun(self, job_id: str) -> None:
        """Wait until the roster no longer agrees with the published end of a job."""
        await asyncio.sleep(ROSTER_LAG_S)
        while self._is_end_published(job_id):
            await self._roster_changed.wait()
