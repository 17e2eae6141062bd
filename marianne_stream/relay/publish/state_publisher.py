"""Publishes the states of jobs: of the newest that run, and of those that somebody asked for.

It must not know how states are read, or who asks.
"""

import asyncio
import heapq
from dataclasses import replace

from marianne_stream.errors import JobNotFoundError, MarianneStreamError
from marianne_stream.jobs.details import is_state_of_entry
from marianne_stream.jobs.lookouts import MAX_WATCHED_JOBS
from marianne_stream.jobs.views import JobSnapshot, newest_first_key
from marianne_stream.jobs.watches import JobHub
from marianne_stream.models import JobState, Roster, RosterEntry
from marianne_stream.relay.crew import Crew, together
from marianne_stream.relay.format import Missing, encode
from marianne_stream.relay.keys import Keys
from marianne_stream.relay.publish.roster_publisher import news
from marianne_stream.relay.publish.writer import Command, Writer, drop_fields

STATE_INTERVAL_S = 2.0

# How long a word that something is not to be had stays, and how often it is said.
MISSING_EXPIRES_S = 15
MISSING_SAID_S = 5.0

# How long the roster may take to say, too, that a job is over.
RUNS_AGAIN_S = 1.0


def missing(keys: Keys, kind: str, job_id: str, error: MarianneStreamError) -> Command:
    """Says why something is not to be had."""
    word = encode(Missing(error.code, error.detail))
    return Command("SET", keys.missing(kind, job_id), (word, "EX", str(MISSING_EXPIRES_S)))


class StatePublisher:
    """Holds on to jobs as a viewer does, and publishes what it sees.

    Args:
        watches: who knows the jobs.
        keys: where their states go.
        writer: who writes them.
    """

    def __init__(self, watches: JobHub, keys: Keys, writer: Writer) -> None:
        self._watches = watches
        self._keys = keys
        self._writer = writer
        self._roster: Roster | None = None
        self._asked_for: set[str] = set()
        self._published: dict[str, JobState] = {}
        self._crew = Crew(self._publish_job)
        self._changed = asyncio.Event()
        # Of jobs that are over, set when there is another roster.
        self._over: dict[str, asyncio.Event] = {}

    def on_roster(self, roster: Roster) -> None:
        """Takes the newest roster in."""
        self._roster = roster
        for again in self._over.values():
            again.set()
        self._choose()

    def on_interest(self, job_ids: set[str]) -> None:
        """Takes in which jobs somebody asks for."""
        self._asked_for = job_ids
        self._choose()

    async def run(self) -> None:
        """Publishes until cancelled, all anew; raises as `Writer.write` does."""
        await self._writer.write([Command("DEL", self._keys.states)])
        await together(self._crew.run(), self._tidy())

    def _choose(self) -> None:
        self._crew.want(self._wanted())
        self._changed.set()

    def _wanted(self) -> set[str]:
        entries = self._roster.entries.values() if self._roster is not None else ()
        going_on = (
            entry for entry in entries if not entry.is_terminal or self._has_yet_to_end(entry)
        )
        newest = heapq.nsmallest(MAX_WATCHED_JOBS, going_on, key=newest_first_key)
        return self._asked_for.union(entry.job_id for entry in newest)

    def _has_yet_to_end(self, entry: RosterEntry) -> bool:
        """Whether a job was published whose end was not."""
        return entry.job_id in self._published and not self._is_over(entry.job_id)

    async def _tidy(self) -> None:
        """Takes back what nobody keeps right any more."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            old = [job_id for job_id in self._published if not self._is_kept(job_id)]
            for job_id in old:
                del self._published[job_id]
            await self._writer.write(drop_fields(self._keys.states, old))

    def _is_kept(self, job_id: str) -> bool:
        """Whether somebody sees to what is published of a job, or it was the end and still is."""
        return job_id in self._wanted() or self._is_over(job_id)

    def _is_over(self, job_id: str) -> bool:
        entry, state = self._entry(job_id), self._published.get(job_id)
        return (
            entry is not None
            and state is not None
            and state.is_final
            and entry.status == state.status
            and is_state_of_entry(state, entry)
        )

    def _entry(self, job_id: str) -> RosterEntry | None:
        return self._roster.entries.get(job_id) if self._roster is not None else None

    async def _publish_job(self, job_id: str) -> None:
        """Publishes what is known of one job, for as long as it is wanted."""
        while True:
            try:
                view, hold = await self._watches.subscribe_job(job_id, STATE_INTERVAL_S)
            except MarianneStreamError as error:
                await self._miss(job_id, error)
                continue
            try:
                await self._publish(view)
                while not view.end and await hold.queue.wait():
                    view = hold.queue.take()
                    await self._publish(view)
            finally:
                hold.close()
            if view.end == "deleted":
                await self._miss(job_id, JobNotFoundError(job_id))
            else:
                await self._until_it_runs_again(job_id)

    async def _publish(self, view: JobSnapshot) -> None:
        # Paths are for the host alone.
        state = replace(view.state, workspace=None, worktree_path=None, snapshot_path=None)
        job_id = state.job_id
        if view.end == "deleted" or self._published.get(job_id) == state:
            return
        self._published[job_id] = state
        await self._writer.write(
            [
                Command("HSET", self._keys.states, (job_id, encode(state))),
                news(self._keys, "state", job_id),
            ]
        )

    async def _miss(self, job_id: str, error: MarianneStreamError) -> None:
        """Says that a job cannot be had; returns when it is time to try again."""
        commands = [missing(self._keys, "state", job_id, error), news(self._keys, "state", job_id)]
        if isinstance(error, JobNotFoundError):
            self._published.pop(job_id, None)
            commands.insert(0, Command("HDEL", self._keys.states, (job_id,)))
        await self._writer.write(commands)
        await asyncio.sleep(MISSING_SAID_S)

    async def _until_it_runs_again(self, job_id: str) -> None:
        """Returns when what was published last need not be so any more."""
        await asyncio.sleep(RUNS_AGAIN_S)
        again = self._over[job_id] = asyncio.Event()
        try:
            while self._is_over(job_id):
                again.clear()
                await again.wait()
        finally:
            del self._over[job_id]
