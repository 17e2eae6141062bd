"""Publisher of the roster, and of the relay's own status."""

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
from marianne_stream.relay.redis_keys import SourceKeys
from marianne_stream.relay.schema import MAX_PUBLISHED_JOBS, RelayStatus, encode_json

ROSTER_INTERVAL_S = 2.0

STATUS_INTERVAL_S = 2.0
STATUS_TTL_S = 6

MAX_STREAM_CHANGES = 1000


def make_change_command(keys: SourceKeys, change_kind: str, job_id: str = "") -> Command:
    """Return the command that announces a change: `status`, `jobs` or `state`."""
    job = ("j", job_id) if job_id else ()
    return Command(
        "XADD", keys.changes, ("MAXLEN", "~", str(MAX_STREAM_CHANGES), "*", "k", change_kind, *job)
    )


def publish_order(entry: RosterEntry) -> tuple[bool, float, str]:
    """Sort key of the jobs to publish: active jobs first, then the newest."""
    return (entry.is_terminal, *newest_first_key(entry))


class RosterPublisher:
    """Publishes changes of the roster, and passes each new roster to `on_roster`."""

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
        """Publish the relay's status periodically until cancelled; raises as `write` does."""
        published: RelayStatus | None = None
        # The first roster sets the status, unless none can be read.
        await self._wait_for_change()
        while True:
            self._status_changed.clear()
            status = self._make_status()
            commands = [
                Command("SET", self._keys.status, (encode_json(status), "EX", str(STATUS_TTL_S))),
            ]
            if status != published:
                commands.append(make_change_command(self._keys, "status"))
            await writer.write(commands)
            published = status
            await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        """Wait for a change, at most until the status must be renewed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATUS_INTERVAL_S):
                await self._status_changed.wait()

    def _make_status(self) -> RelayStatus:
        return RelayStatus(
            source=self._hub.roster.source,
            live=self._is_live,
            events_live=self._hub.events.is_live,
            origin_url=self._public_url,
            version=self._version,
            epoch=self._hub.events.replay_buffer.epoch,
        )

    async def publish_roster(self, writer: Writer) -> None:
        """Publish the roster and its changes until cancelled; raises as `write` does."""
        published: dict[str, bytes] | None = None
        while True:
            try:
                snapshot, subscription = await self._hub.roster.subscribe(ROSTER_INTERVAL_S)
            except StateUnavailableError:
                await asyncio.sleep(ROSTER_INTERVAL_S)
                continue
            try:
                while True:
                    published = await self._publish_changes(writer, snapshot.roster, published)
                    await subscription.queue.wait()
                    snapshot = subscription.queue.take()
            finally:
                subscription.close()

    async def _publish_changes(
        self, writer: Writer, roster: Roster, published: dict[str, bytes] | None
    ) -> dict[str, bytes]:
        """Publish the differences from the published entries, and return the new entries."""
        entries = heapq.nsmallest(MAX_PUBLISHED_JOBS, roster.entries.values(), key=publish_order)
        # Paths never leave the host.
        new = {entry.job_id: encode_json(replace(entry, workspace=None)) for entry in entries}
        known = published if published is not None else {}
        changed = {job_id: entry for job_id, entry in new.items() if known.get(job_id) != entry}
        removed = [job_id for job_id in known if job_id not in new]
        key = self._keys.jobs
        commands = [*set_fields(key, changed), *delete_fields(key, removed)]
        if published is None:
            # In one script with the new entries, so that no edge sees an empty roster.
            commands.insert(0, Command("DEL", key))
        if commands:
            await writer.write([*commands, make_change_command(self._keys, "jobs")])
        self._is_live = roster.live
        self._status_changed.set()
        self._on_roster(roster)
        return new
