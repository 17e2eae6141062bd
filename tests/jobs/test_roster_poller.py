"""The roster poller reads once for all clients, and only while there are any."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from marianne_stream.errors import StateUnavailableError
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.models import Roster, RosterEntry
from tests.support.backends import FakeBackend
from tests.support.waiting import wait_until


@asynccontextmanager
async def run_poller(backend: FakeBackend) -> AsyncIterator[tuple[RosterPoller, list[Roster]]]:
    """Run a poller; yield it and the list of its rosters."""
    rosters: list[Roster] = []
    poller = RosterPoller(backend, on_roster=rosters.append)
    task = asyncio.create_task(poller.run())
    try:
        yield poller, rosters
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_no_clients_no_reads() -> None:
    backend = FakeBackend()
    async with run_poller(backend) as (poller, _):
        poller.poll_soon()
        await asyncio.sleep(0.05)
        assert backend.read_count == 0


async def test_backend_on_disk_polled_at_shortest_interval() -> None:
    backend = FakeBackend()
    async with run_poller(backend) as (poller, _):
        poller.intervals.add(30.0)
        poller.intervals.add(0.01)
        await wait_until(lambda: backend.read_count >= 5)
        poller.intervals.remove(0.01)
        await asyncio.sleep(0)
        before = backend.read_count
        await asyncio.sleep(0.05)
        assert backend.read_count <= before + 1


@pytest.mark.parametrize(
    ("status", "interval_s", "relaxed_interval_s"),
    [
        ("running", 0.1, 1.0),
        ("queued", 0.1, 1.0),
        ("paused", 0.25, 10.0),
        ("failed", 0.25, 10.0),
    ],
)
async def test_conductor_polled_by_job_activity(
    status: str, interval_s: float, relaxed_interval_s: float
) -> None:
    backend = FakeBackend()
    backend.source, backend.status = "conductor", status
    async with run_poller(backend) as (poller, _):
        poller.intervals.add(10.0)
        await wait_until(lambda: backend.read_count == 1)
        assert poller._poll_interval_s(10.0) == relaxed_interval_s
        poller.intervals.add(9.0)
        assert poller._poll_interval_s(9.0) == interval_s
        await wait_until(lambda: backend.read_count == 2)


async def test_slow_conductor_rests_20_times_its_answer() -> None:
    backend = FakeBackend()
    backend.source, backend.status, backend.cost_s = "conductor", "running", 60.0
    async with run_poller(backend) as (poller, _):
        poller.intervals.add(0.1)
        await wait_until(lambda: backend.read_count == 1)
        poller.poll_soon()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(poller.get(), 0.2)
        assert backend.read_count == 1
        # Unless the answer is known to be out of date.
        poller.invalidate()
        await wait_until(lambda: backend.read_count == 2)


async def test_burst_of_hints_one_poll() -> None:
    backend = FakeBackend()
    async with run_poller(backend) as (poller, _):
        poller.intervals.add(30.0)
        await wait_until(lambda: backend.read_count == 1)
        await asyncio.sleep(0.1)
        for _ in range(100):
            poller.poll_soon(0.01)
        await wait_until(lambda: backend.read_count == 2)
        await asyncio.sleep(0.05)
        assert backend.read_count == 2


async def test_concurrent_gets_share_one_read() -> None:
    backend = FakeBackend()
    async with run_poller(backend) as (poller, _):
        rosters = await asyncio.gather(*(poller.get() for _ in range(100)))
        assert backend.read_count == 1
        assert all(roster is rosters[0] for roster in rosters)
        assert await poller.get(60.0) is rosters[0]
        assert await poller.get() is not rosters[0]


async def test_get_during_read_shares_answer() -> None:
    backend = FakeBackend()
    async with run_poller(backend) as (poller, _):
        backend.answer_event = asyncio.Event()
        first = asyncio.create_task(poller.get())
        await wait_until(lambda: backend.read_count)
        young = asyncio.create_task(poller.get(60.0))
        fresh = asyncio.create_task(poller.get())
        await asyncio.sleep(0)
        backend.answer_event.set()
        assert await young is await first
        assert await fresh is not await first
        assert backend.read_count == 2


async def test_poller_stopped_waiting_gets_fail() -> None:
    backend = FakeBackend()
    backend.answer_event = asyncio.Event()
    async with run_poller(backend) as (poller, _):
        waiting = [asyncio.create_task(poller.get()) for _ in range(2)]
        await wait_until(lambda: backend.read_count)
        waiting.append(asyncio.create_task(poller.get()))
        await asyncio.sleep(0)
    for each in waiting:
        with pytest.raises(StateUnavailableError, match="poller has stopped"):
            await each


async def test_cancelled_get_leaves_others_waiting() -> None:
    backend = FakeBackend()
    async with run_poller(backend) as (poller, _):
        first, second = (asyncio.create_task(poller.get()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).source == "registry"


async def test_backend_away_last_entries_kept_with_source_none() -> None:
    backend = FakeBackend()
    async with run_poller(backend) as (poller, rosters):
        await poller.get()
        backend.is_away = True
        with pytest.raises(StateUnavailableError):
            await poller.get()
        assert rosters[-1].source == "none"
        assert not rosters[-1].live
        assert poller.get_entry("a") == RosterEntry("a", "1")
        with pytest.raises(StateUnavailableError):
            await poller.get(60.0)
        backend.is_away = False
        assert (await poller.get()).source == "registry"
