"""Publishes the roster, and what the relay says of itself.

It must not know how rosters are read.
"""

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from dataclasses import replace

from marianne_stream.errors import StateUnavailableError
from marianne_stream.jobs.views import newest_first_key
from marianne_stream.jobs.watches import JobHub
from marianne_stream.models import Roster, RosterEntry
from marianne_stream.relay.format import MOST_JOBS, About, encode
from marianne_stream.relay.keys import Keys, sources_key
from marianne_stream.relay.publish.writer import Command, Writer, drop_fields, set_fields

ROSTER_INTERVAL_S = 2.0

ABOUT_S = 2.0
ABOUT_EXPIRES_S = 6

NEWS_KEPT = 1000


def news(keys: Keys, kind: str, job_id: str = "") -> Command:
    """Tells that something has changed."""
    job = ("j", job_id) if job_id else ()
    return Command("XADD", keys.news, ("MAXLEN", "~", str(NEWS_KEPT), "*", "k", kind, *job))


def most_wanted(entry: RosterEntry) -> tuple[bool, float, str]:
    """The order in which jobs are published: those that go on, then the newest."""
    return (entry.is_terminal, *newest_first_key(entry))


class RosterPublisher:
    """Publishes what changes in the roster.

    Args:
        watches: who knows it.
        keys: where it goes.
        origin_url: where files can be asked for; None for nowhere.
        version: the release.
        on_roster: called with each roster that differs from the one before.
    """

    def __init__(
        self,
        watches: JobHub,
        keys: Keys,
        *,
        origin_url: str | None,
        version: str,
        on_roster: Callable[[Roster], None],
    ) -> None:
        self._watches = watches
        self._keys = keys
        self._origin_url = origin_url
        self._version = version
        self._on_roster = on_roster
        self._live = False
        self._changed = asyncio.Event()

    async def run_about(self, writer: Writer) -> None:
        """Says what the relay is, again and again until cancelled; raises as `write` does."""
        said: About | None = None
        # Before the first roster, there is nothing to say, unless nobody can be asked for it.
        await self._changes()
        while True:
            self._changed.clear()
            about = self._about()
            commands = [
                Command("SET", self._keys.about, (encode(about), "EX", str(ABOUT_EXPIRES_S))),
                Command("SADD", sources_key(self._keys.prefix), (self._keys.source,)),
            ]
            if about != said:
                commands.append(news(self._keys, "status"))
            await writer.write(commands)
            said = about
            await self._changes()

    async def _changes(self) -> None:
        """Waits for a change, or until it is time to say the same again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ABOUT_S):
                await self._changed.wait()

    def _about(self) -> About:
        return About(
            source=self._watches.roster_source,
            live=self._live,
            events_live=self._watches.event_intake.is_live,
            origin_url=self._origin_url,
            version=self._version,
            epoch=self._watches.replay_buffer.epoch,
        )

    async def run_roster(self, writer: Writer) -> None:
        """Publishes the roster anew, then each change, until cancelled; raises as `write` does."""
        published: dict[str, bytes] | None = None
        while True:
            try:
                view, watching = await self._watches.subscribe_roster(ROSTER_INTERVAL_S)
            except StateUnavailableError:
                await asyncio.sleep(ROSTER_INTERVAL_S)
                continue
            try:
                while True:
                    published = await self._publish(writer, view.roster, published)
                    await watching.queue.wait()
                    view = watching.queue.take()
            finally:
                watching.close()

    async def _publish(
        self, writer: Writer, roster: Roster, before: dict[str, bytes] | None
    ) -> dict[str, bytes]:
        """Publishes what differs from what was published; all of it, where nothing was."""
        # Paths are for the host alone.
        entries = heapq.nsmallest(MOST_JOBS, roster.entries.values(), key=most_wanted)
        now = {entry.job_id: encode(replace(entry, workspace=None)) for entry in entries}
        known = before if before is not None else {}
        changed = {job_id: entry for job_id, entry in now.items() if known.get(job_id) != entry}
        gone = [job_id for job_id in known if job_id not in now]
        key = self._keys.jobs
        commands = [*set_fields(key, changed), *drop_fields(key, gone)]
        if before is None:
            # At once with what follows: nobody sees it empty.
            commands.insert(0, Command("DEL", key))
        if commands:
            await writer.write([*commands, news(self._keys, "jobs")])
        self._live = roster.live
        self._changed.set()
        self._on_roster(roster)
        return now
