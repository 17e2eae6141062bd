"""Publishes the roster, and what the relay says of itself.

It must not know how rosters are read.
"""

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from dataclasses import replace

from marianne_stream.errors import StateUnavailableError
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.snapshots import newest_first_key
from marianne_stream.models import Roster, RosterEntry
from marianne_stream.relay.publish.writer import Command, Writer, delete_fields, set_fields
from marianne_stream.relay.redis_keys import SourceKeys, sources_key
from marianne_stream.relay.schema import MAX_PUBLISHED_JOBS, RelayStatus, encode_json

ROSTER_INTERVAL_S = 2.0

STATUS_INTERVAL_S = 2.0
STATUS_TTL_S = 6

MAX_STREAM_CHANGES = 1000


def make_change_command(keys: SourceKeys, change_kind: str, job_id: str = "") -> Command:
    """Tells that something has changed."""
    job = ("j", job_id) if job_id else ()
    return Command(
        "XADD", keys.changes, ("MAXLEN", "~", str(MAX_STREAM_CHANGES), "*", "k", change_kind, *job)
    )


def publish_order(entry: RosterEntry) -> tuple[bool, float, str]:
    """The order in which jobs are published: those that go on, then the newest."""
    return (entry.is_terminal, *newest_first_key(entry))


class RosterPublisher:
    """Publishes what changes in the roster.

    Args:
        hub: who knows it.
        keys: where it goes.
        public_url: where files can be asked for; None for nowhere.
        version: the release.
        on_roster: called with each roster that differs from the one before.
    """

    def __init__(
        self,
        hub: JobHub,
        keys: SourceKeys,
        *,
        public_url: str | None,
        version: str,
        on_roster: Callable[[Roster], None],
    ) -> None:
        self._hub = hub
        self._keys = keys
        self._public_url = public_url
        self._version = version
        self._on_roster = on_roster
        self._is_live = False
        self._status_changed = asyncio.Event()

    async def publish_status(self, writer: Writer) -> None:
        """Says what the relay is, again and again until cancelled; raises as `write` does."""
        said: RelayStatus | None = None
        # Before the first roster, there is nothing to say, unless nobody can be asked for it.
        await self._wait_for_change()
        while True:
            self._status_changed.clear()
            about = self._make_status()
            commands = [
                Command("SET", self._keys.status, (encode_json(about), "EX", str(STATUS_TTL_S))),
                Command("SADD", sources_key(self._keys.prefix), (self._keys.source,)),
            ]
            if about != said:
                commands.append(make_change_command(self._keys, "status"))
            await writer.write(commands)
            said = about
            await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        """Waits for a change, or until it is time to say the same again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATUS_INTERVAL_S):
                await self._status_changed.wait()

    def _make_status(self) -> RelayStatus:
        return RelayStatus(
            source=self._hub.roster_source,
            live=self._is_live,
            events_live=self._hub.event_intake.is_live,
            origin_url=self._public_url,
            version=self._version,
            epoch=self._hub.replay_buffer.epoch,
        )

    async def publish_roster(self, writer: Writer) -> None:
        """Publishes the roster anew, then each change, until cancelled; raises as `write` does."""
        published: dict[str, bytes] | None = None
        while True:
            try:
                view, watching = await self._hub.subscribe_roster(ROSTER_INTERVAL_S)
            except StateUnavailableError:
                await asyncio.sleep(ROSTER_INTERVAL_S)
                continue
            try:
                while True:
                    published = await self._publish_changes(writer, view.roster, published)
                    await watching.queue.wait()
                    view = watching.queue.take()
            finally:
                watching.close()

    async def _publish_changes(
        self, writer: Writer, roster: Roster, published: dict[str, bytes] | None
    ) -> dict[str, bytes]:
        """Publishes what differs from what was published; all of it, where nothing was."""
        # Paths are for the host alone.
        entries = heapq.nsmallest(MAX_PUBLISHED_JOBS, roster.entries.values(), key=publish_order)
        now = {entry.job_id: encode_json(replace(entry, workspace=None)) for entry in entries}
        known = published if published is not None else {}
        changed = {job_id: entry for job_id, entry in now.items() if known.get(job_id) != entry}
        gone = [job_id for job_id in known if job_id not in now]
        key = self._keys.jobs
        commands = [*set_fields(key, changed), *delete_fields(key, gone)]
        if published is None:
            # At once with what follows: nobody sees it empty.
            commands.insert(0, Command("DEL", key))
        if commands:
            await writer.write([*commands, make_change_command(self._keys, "jobs")])
        self._is_live = roster.live
        self._status_changed.set()
        self._on_roster(roster)
        return now
