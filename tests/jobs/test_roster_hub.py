"""Roster hub: times of progress, and subscriptions."""

import asyncio
from dataclasses import replace

import pytest

from marianne_stream.errors import StateUnavailableError
from marianne_stream.jobs import roster_hub as roster_hub_module
from marianne_stream.jobs.read_limiter import make_shared_limiter
from marianne_stream.jobs.roster_hub import RosterHub
from marianne_stream.jobs.roster_watchers import RosterJobWatchers
from marianne_stream.jobs.snapshots import JobSnapshot
from marianne_stream.jobs.subscriptions import JobSubscription
from marianne_stream.models import Roster, RosterEntry, StateSourceName
from tests.support.backends import FakeBackend

ENTRY = RosterEntry("a", "running", 10.0, 11.0, 1, 4)
CHANGED = replace(ENTRY, completed_sheets=2)


async def subscribe_job(job_id: str, interval_s: float) -> tuple[JobSnapshot, JobSubscription]:
    raise StateUnavailableError(f"{job_id} at {interval_s}")


def make_hub(backend: FakeBackend | None = None) -> RosterHub:
    return RosterHub(
        backend or FakeBackend(),
        RosterJobWatchers(subscribe_job, make_shared_limiter()),
        on_roster=lambda _before, _roster: None,
        on_rate_limits=lambda: None,
    )


def offer(hub: RosterHub, *entries: RosterEntry, is_away: bool = False) -> None:
    """Hand a roster to the hub as its poller does."""
    listed = {entry.job_id: entry for entry in entries}
    source: StateSourceName = "none" if is_away else "conductor"
    hub._on_roster(Roster(listed, source=source, live=not is_away))


async def test_change_between_recent_rosters_is_progress() -> None:
    hub = make_hub()
    offer(hub, ENTRY)
    assert hub.progress.get("a") is None
    offer(hub, CHANGED)
    assert hub.progress.get("a") is not None


async def test_change_over_outage_has_no_progress_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = make_hub()
    offer(hub, ENTRY)
    offer(hub, CHANGED)
    monkeypatch.setattr(roster_hub_module, "MAX_RECENT_GAP_S", 0.01)
    await asyncio.sleep(0.02)
    offer(hub, CHANGED, is_away=True)
    offer(hub, replace(ENTRY, completed_sheets=3))
    assert hub.progress.get("a") is None


async def test_no_change_over_outage_keeps_progress_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = make_hub()
    offer(hub, ENTRY)
    offer(hub, CHANGED)
    before = hub.progress.get("a")
    monkeypatch.setattr(roster_hub_module, "MAX_RECENT_GAP_S", 0.0)
    offer(hub, CHANGED, is_away=True)
    offer(hub, CHANGED)
    assert before is not None
    assert hub.progress.get("a") == before


async def test_failed_subscription_removes_its_interval() -> None:
    backend = FakeBackend()
    backend.is_away = True
    hub = make_hub(backend)
    task = asyncio.create_task(hub.poller.run())
    with pytest.raises(StateUnavailableError):
        await hub.subscribe(1.0, details=True)
    assert not hub.poller.intervals
    assert not hub._job_watchers.intervals
    task.cancel()
    await asyncio.wait([task])
    await hub.close()


async def test_subscription_without_a_conductor_looks_for_no_waiting_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = make_hub()
    polling = asyncio.create_task(hub.poller.run())
    _, first = await hub.subscribe(1.0)
    reads: list[None] = []
    monkeypatch.setattr(hub, "_on_conductors_read", lambda: reads.append(None))
    _, second = await hub.subscribe(1.0)
    assert reads == []
    for subscription in (first, second):
        subscription.close()
    polling.cancel()
    await asyncio.wait([polling])


async def test_subscriber_to_an_entry_is_told_that_the_job_has_ended_already() -> None:
    class Subscriber:
        def __init__(self) -> None:
            self.offered: list[str] = []

        def offer(self, entry: RosterEntry, /) -> None:
            self.offered.append(entry.status)

    hub, early, late = make_hub(), Subscriber(), Subscriber()
    offer(hub, ENTRY)
    with hub.subscribe_entry("a", 1.0, early):
        assert early.offered == []
        offer(hub, replace(ENTRY, status="completed"))
        with hub.subscribe_entry("a", 1.0, late):
            assert early.offered == late.offered == ["completed"]
