"""Events of stalled sheets, whichever read shows them first."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from marianne_stream.errors import StateUnavailableError
from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.fanout.replay_entry import ReplayEntry
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.subscriptions import JobSubscription
from marianne_stream.models import JobProgress, JobState, Sheet, format_iso_time
from marianne_stream.wire.sse import EncodedFrames
from tests.support.backends import OneJobBackend
from tests.support.waiting import wait_until

# Every sheet has stalled at once.
AT_ONCE_S = 1e-9


@dataclass(slots=True)
class EventNames:
    """Names of all events of a replay buffer."""

    names: list[str] = field(default_factory=list)

    def offer_all(self, entries: Sequence[ReplayEntry], _frames: EncodedFrames, /) -> None:
        self.names += [entry.event for entry in entries]


@dataclass(slots=True)
class Watched:
    """A hub whose only job is watched."""

    hub: JobHub
    backend: OneJobBackend
    subscription: JobSubscription
    events: EventNames

    async def read(self) -> None:
        """Let the hub read the job again, and publish what is new."""
        # Once the second read begins, the first has been published.
        await self._begin_read()
        await self._begin_read()
        self.hub.events.replay_buffer.flush()

    async def _begin_read(self) -> None:
        before = self.backend.job_reads
        self.hub.refresh_job("a")
        await wait_until(lambda: self.backend.job_reads > before)

    @property
    def stalled(self) -> tuple[int, ...]:
        """Numbers of the stalled sheets that are shown."""
        snapshot = self.subscription.watcher.snapshot
        assert snapshot is not None
        return snapshot.status_data.stalled


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    """Yield a watched job whose first sheet is at work."""
    started_at = format_iso_time(time.time() - 100)
    state = JobState(
        "a",
        "running",
        "conductor",
        live=True,
        checkpoint_status="running",
        sheets=(Sheet(1, "dispatched", attempt=1),),
        submitted_at=started_at,
        started_at=started_at,
    )
    backend, events, buffer = OneJobBackend(state), EventNames(), ReplayBuffer()
    hub = JobHub(backend, buffer)
    buffer.record_to(events)
    running = asyncio.create_task(hub.run())
    _, subscription = await hub.subscribe_job("a", 1.0)
    yield Watched(hub, backend, subscription, events)
    subscription.close()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_stalled_sheet_is_announced_once_by_the_read_that_shows_it(watched: Watched) -> None:
    watched.hub.roster.progress.stalled_after_s = AT_ONCE_S
    await watched.read()
    assert watched.stalled == (1,)
    await watched.read()
    watched.hub.update_progress()
    assert watched.events.names.count("sheet.stalled") == 1


async def test_stalled_sheet_is_announced_again_after_a_sign_of_life(watched: Watched) -> None:
    progress = watched.hub.roster.progress
    for limit_s in (AT_ONCE_S, 1000.0, AT_ONCE_S):
        progress.stalled_after_s = limit_s
        watched.hub.update_progress()
        assert watched.stalled == ((1,) if limit_s == AT_ONCE_S else ())
    await watched.read()
    assert watched.events.names.count("sheet.stalled") == 2


async def test_job_that_cannot_be_read_does_not_stall(watched: Watched) -> None:
    watched.backend.error = StateUnavailableError()
    await watched.read()
    snapshot = watched.subscription.watcher.snapshot
    assert snapshot is not None
    assert snapshot.source == "none"
    watched.hub.roster.progress.stalled_after_s = AT_ONCE_S
    watched.hub.update_progress()
    await watched.read()
    assert (watched.stalled, "sheet.stalled" in watched.events.names) == ((), False)


async def test_progress_of_another_server_is_not_shown_while_the_job_cannot_be_read(
    watched: Watched,
) -> None:
    assert watched.backend.state is not None
    foreign = JobProgress(last_progress_at=10.0, eta_at=time.time() + 60, stalled=(1,))
    watched.backend.state = replace(watched.backend.state, progress=foreign)
    await watched.read()
    assert watched.stalled == (1,)
    watched.backend.error = StateUnavailableError()
    await watched.read()
    snapshot = watched.subscription.watcher.snapshot
    assert snapshot is not None
    assert snapshot.source == "none"
    assert (snapshot.status_data.stalled, snapshot.status_data.eta_at) == ((), None)
    assert watched.hub.stalled_job_count == 0
    watched.backend.error = None
    await watched.read()
    assert watched.stalled == (1,)


async def test_job_that_was_not_watched_has_not_stalled(watched: Watched) -> None:
    watched.hub.roster.progress.record_activity("a", time.time() - 3600)
    watched.hub.roster.progress.stalled_after_s = 60.0
    await watched.read()
    assert (watched.stalled, "sheet.stalled" in watched.events.names) == ((), False)
