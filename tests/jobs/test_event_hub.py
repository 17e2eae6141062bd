"""Intake of events: changes between visits and a subscription."""

import asyncio
import json
import time
from dataclasses import replace

import pytest

from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.fanout.replay_entry import ReplayEntry
from marianne_stream.fanout.subscriber_queue import DropOldestQueue
from marianne_stream.jobs.event_hub import EventHub
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.models import MonitorEvent, Roster, RosterEntry
from tests.support.backends import FakeBackend
from tests.support.waiting import wait_until

ENTRY = RosterEntry("a", "running", 10.0, 11.0)


class Observer:
    """Recent events of a conductor, which a test lets it return."""

    def __init__(self) -> None:
        self.events: list[tuple[float, MonitorEvent]] = []
        self.was_read = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.activity: dict[str, float] = {}

    async def read(self) -> list[tuple[float, MonitorEvent]]:
        self.was_read.set()
        await self.may_answer.wait()
        return self.events


@pytest.fixture
def observer() -> Observer:
    """Return an observer without events."""
    return Observer()


@pytest.fixture
def viewer() -> DropOldestQueue[ReplayEntry]:
    """Return the queue of a client that watches events."""
    return DropOldestQueue()


@pytest.fixture
def events(observer: Observer, viewer: DropOldestQueue[ReplayEntry]) -> EventHub:
    """Return a hub that reads events by visits."""
    poller = RosterPoller(FakeBackend(), on_roster=lambda _roster: None)
    hub = EventHub(
        ReplayBuffer(),
        poller,
        source_name="conductor",
        record_activity=observer.activity.__setitem__,
        read_recent_events=observer.read,
    )
    # Visits are needed only while there are subscribers.
    hub.replay_buffer.subscribe(viewer, match_all)
    return hub


def match_all(_entry: ReplayEntry) -> bool:
    return True


def make_roster(entry: RosterEntry = ENTRY, *, live: bool = True) -> Roster:
    return Roster({entry.job_id: entry}, source="conductor", live=live)


def frames(hub: EventHub) -> list[str]:
    """Return the names of the buffered frames; "gap" for a gap."""
    entries = hub.replay_buffer.get_range(0, hub.replay_buffer.last_number, match_all)
    assert entries is not None
    return [entry.event or "gap" for entry in entries]


async def test_first_subscription_has_no_gap(events: EventHub) -> None:
    events.on_subscribed()
    assert events.is_live
    assert frames(events) == []


async def test_subscription_after_visits_has_gap(events: EventHub) -> None:
    events.on_roster(None, make_roster())
    assert events.is_live
    events.on_roster(make_roster(), make_roster(replace(ENTRY, status="paused")))
    events.on_subscribed()
    events.add(MonitorEvent("a", "job.resumed", b"{}"))
    assert frames(events) == ["job.paused", "gap", "job.resumed"]


async def test_visit_during_change_to_subscription_repeats_no_event(
    events: EventHub, observer: Observer
) -> None:
    event = MonitorEvent("a", "observer.file", json.dumps({"job_id": "a"}).encode())
    task = asyncio.create_task(events.run())
    await observer.was_read.wait()
    observer.events = [(time.time(), event)]
    events.on_subscribed()
    events.add(event)
    observer.may_answer.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert frames(events) == ["observer.file"]
    task.cancel()
    await asyncio.wait([task])


async def test_lost_subscription_live_again_by_visits_has_gap(events: EventHub) -> None:
    events.on_subscribed()
    events.on_subscription_lost()
    assert not events.is_live
    events.on_roster(make_roster(), make_roster())
    assert events.is_live
    assert frames(events) == ["gap"]


def make_file_event() -> MonitorEvent:
    return MonitorEvent("a", "observer.file_modified", json.dumps({"job_id": "a"}).encode())


async def test_file_event_is_a_sign_of_life_by_subscription_and_visit(
    events: EventHub, observer: Observer
) -> None:
    began = time.time()
    events.on_subscribed()
    events.add(make_file_event())
    assert observer.activity.pop("a") >= began
    events.on_subscription_lost()
    observer.events = [(time.time() + 1, make_file_event())]
    observer.may_answer.set()
    task = asyncio.create_task(events.run())
    await wait_until(lambda: "a" in observer.activity)
    task.cancel()
    await asyncio.wait([task])


async def test_file_events_are_signs_of_life_while_nobody_watches_events(
    events: EventHub, observer: Observer, viewer: DropOldestQueue[ReplayEntry]
) -> None:
    observer.may_answer.set()
    observer.events = [(1000.0, make_file_event())]
    # Visits bring them.
    await events.read_activity()
    assert not observer.was_read.is_set()
    events.replay_buffer.unsubscribe(viewer, match_all)
    await events.read_activity()
    assert observer.activity == {"a": 1000.0}
    # It was not watched, so no client gets it.
    assert frames(events) == []
