"""Publishes the states of jobs: of the newest that run, and of those that somebody asked for.

It must not know how states are read, or who asks.
"""

import asyncio
import heapq
from dataclasses import replace

from marianne_stream.errors import JobNotFoundError, MarianneStreamError
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.roster_details import is_state_of_entry
from marianne_stream.jobs.roster_watchers import MAX_WATCHED_JOBS
from marianne_stream.jobs.snapshots import JobSnapshot, newest_first_key
from marianne_stream.models import JobState, Roster, RosterEntry
from marianne_stream.relay.publish.roster_publisher import make_change_command
from marianne_stream.relay.publish.writer import Command, Writer, delete_fields
from marianne_stream.relay.redis_keys import SourceKeys
from marianne_stream.relay.schema import Unavailable, encode_json
from marianne_stream.relay.task_set import KeyedTasks, run_until_first_failure

STATE_INTERVAL_S = 2.0

# How long a word that something is not to be had stays, and how often it is said.
UNAVAILABLE_TTL_S = 15
UNAVAILABLE_INTERVAL_S = 5.0

# How long the roster may take to say, too, that a job is over.
ROSTER_LAG_S = 1.0


def make_unavailable_command(
    keys: SourceKeys, kind: str, job_id: str, error: MarianneStreamError
) -> Command:
    """Says why something is not to be had."""
    word = encode_json(Unavailable(error.code, error.detail))
    return Command("SET", keys.unavailable(kind, job_id), (word, "EX", str(UNAVAILABLE_TTL_S)))


class StatePublisher:
    """Holds on to jobs as a viewer does, and publishes what it sees.

    Args:
        hub: who knows the jobs.
        keys: where their states go.
        writer: who writes them.
    """

    def __init__(self, hub: JobHub, keys: SourceKeys, writer: Writer) -> None:
        self._hub = hub
        self._keys = keys
        self._writer = writer
        self._roster: Roster | None = None
        self._requested: set[str] = set()
        self._published: dict[str, JobState] = {}
        self._tasks = KeyedTasks(self._publish_job)
        self._selection_changed = asyncio.Event()
        # Of jobs that are over, set when there is another roster.
        self._roster_events: dict[str, asyncio.Event] = {}

    def on_roster(self, roster: Roster) -> None:
        """Takes the newest roster in."""
        self._roster = roster
        for again in self._roster_events.values():
            again.set()
        self._update_tasks()

    def on_interest(self, job_ids: set[str]) -> None:
        """Takes in which jobs somebody asks for."""
        self._requested = job_ids
        self._update_tasks()

    async def run(self) -> None:
        """Publishes until cancelled, all anew; raises as `Writer.write` does."""
        await self._writer.write([Command("DEL", self._keys.states)])
        await run_until_first_failure(self._tasks.run(), self._delete_stale())

    def _update_tasks(self) -> None:
        self._tasks.set_keys(self._select_jobs())
        self._selection_changed.set()

    def _select_jobs(self) -> set[str]:
        entries = self._roster.entries.values() if self._roster is not None else ()
        going_on = (
            entry for entry in entries if not entry.is_terminal or self._is_end_unpublished(entry)
        )
        newest = heapq.nsmallest(MAX_WATCHED_JOBS, going_on, key=newest_first_key)
        return self._requested.union(entry.job_id for entry in newest)

    def _is_end_unpublished(self, entry: RosterEntry) -> bool:
        """Whether a job was published whose end was not."""
        return entry.job_id in self._published and not self._is_end_published(entry.job_id)

    async def _delete_stale(self) -> None:
        """Takes back what nobody keeps right any more."""
        while True:
            await self._selection_changed.wait()
            self._selection_changed.clear()
            old = [job_id for job_id in self._published if not self._is_kept(job_id)]
            for job_id in old:
                del self._published[job_id]
            await self._writer.write(delete_fields(self._keys.states, old))

    def _is_kept(self, job_id: str) -> bool:
        """Whether somebody sees to what is published of a job, or it was the end and still is."""
        return job_id in self._select_jobs() or self._is_end_published(job_id)

    def _is_end_published(self, job_id: str) -> bool:
        entry, state = self._get_entry(job_id), self._published.get(job_id)
        return (
            entry is not None
            and state is not None
            and state.is_final
            and entry.status == state.status
            and is_state_of_entry(state, entry)
        )

    def _get_entry(self, job_id: str) -> RosterEntry | None:
        return self._roster.entries.get(job_id) if self._roster is not None else None

    async def _publish_job(self, job_id: str) -> None:
        """Publishes what is known of one job, for as long as it is wanted."""
        while True:
            try:
                view, hold = await self._hub.subscribe_job(job_id, STATE_INTERVAL_S)
            except MarianneStreamError as error:
                await self._publish_unavailable(job_id, error)
                continue
            try:
                await self._publish_snapshot(view)
                while not view.end and await hold.queue.wait():
                    view = hold.queue.take()
                    await self._publish_snapshot(view)
            finally:
                hold.close()
            if view.end == "deleted":
                await self._publish_unavailable(job_id, JobNotFoundError(job_id))
            else:
                await self._wait_for_rerun(job_id)

    async def _publish_snapshot(self, snapshot: JobSnapshot) -> None:
        # Paths are for the host alone.
        state = replace(snapshot.state, workspace=None, worktree_path=None, snapshot_path=None)
        job_id = state.job_id
        if snapshot.end == "deleted" or self._published.get(job_id) == state:
            return
        self._published[job_id] = state
        await self._writer.write(
            [
                Command("HSET", self._keys.states, (job_id, encode_json(state))),
                make_change_command(self._keys, "state", job_id),
            ]
        )

    async def _publish_unavailable(self, job_id: str, error: MarianneStreamError) -> None:
        """Says that a job cannot be had; returns when it is time to try again."""
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
        """Returns when what was published last need not be so any more."""
        await asyncio.sleep(ROSTER_LAG_S)
        again = self._roster_events[job_id] = asyncio.Event()
        try:
            while self._is_end_published(job_id):
                again.clear()
                await again.wait()
        finally:
            del self._roster_events[job_id]
