"""The roster timer asks once for everybody, and only while somebody is interested."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from marianne_stream.errors import StateUnavailableError
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.state_merge import carry_over_fields
from marianne_stream.models import Roster, RosterEntry
from tests.support.backends import Source
from tests.support.waiting import wait_until


@asynccontextmanager
async def ticking(source: Source) -> AsyncIterator[tuple[RosterPoller, list[Roster]]]:
    """A timer that runs for as long as the context lasts, and what it said."""
    said: list[Roster] = []
    timer = RosterPoller(source, on_roster=said.append)
    task = asyncio.create_task(timer.run())
    try:
        yield timer, said
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_nobody_interested_costs_nothing() -> None:
    source = Source()
    async with ticking(source) as (timer, _):
        timer.poll_soon()
        await asyncio.sleep(0.05)
        assert source.asked == 0


async def test_on_disk_the_shortest_interval_counts() -> None:
    source = Source()
    async with ticking(source) as (timer, _):
        timer.add_interval(30.0)
        timer.add_interval(0.01)
        await wait_until(lambda: source.asked >= 5)
        timer.remove_interval(0.01)
        await asyncio.sleep(0)
        before = source.asked
        await asyncio.sleep(0.05)
        assert source.asked <= before + 1


@pytest.mark.parametrize(
    ("status", "interval_s"),
    [("running", 0.1), ("queued", 0.1), ("paused", 0.25), ("failed", 0.25)],
)
async def test_a_conductor_is_asked_as_often_as_its_jobs_call_for(
    status: str, interval_s: float
) -> None:
    source = Source()
    source.source, source.status = "conductor", status
    async with ticking(source) as (timer, _):
        timer.add_interval(30.0)
        await wait_until(lambda: source.asked == 1)
        assert timer._poll_interval_s(30.0) == interval_s
        await wait_until(lambda: source.asked == 2)


async def test_a_conductor_that_is_slow_to_answer_rests_twenty_times_as_long() -> None:
    source = Source()
    source.source, source.status, source.cost_s = "conductor", "running", 60.0
    async with ticking(source) as (timer, _):
        timer.add_interval(0.1)
        await wait_until(lambda: source.asked == 1)
        timer.poll_soon()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(timer.get(), 0.2)
        assert source.asked == 1
        # Unless the answer is known to be out of date.
        timer.invalidate()
        await wait_until(lambda: source.asked == 2)


async def test_one_roster_serves_a_whole_burst_of_hints() -> None:
    source = Source()
    async with ticking(source) as (timer, _):
        timer.add_interval(30.0)
        await wait_until(lambda: source.asked == 1)
        await asyncio.sleep(0.1)
        for _ in range(100):
            timer.poll_soon(0.01)
        await wait_until(lambda: source.asked == 2)
        await asyncio.sleep(0.05)
        assert source.asked == 2


async def test_all_who_want_a_fresh_one_share_it() -> None:
    source = Source()
    async with ticking(source) as (timer, _):
        rosters = await asyncio.gather(*(timer.get() for _ in range(100)))
        assert source.asked == 1
        assert all(roster is rosters[0] for roster in rosters)
        assert await timer.get(60.0) is rosters[0]
        assert await timer.get() is not rosters[0]


async def test_one_who_comes_while_the_conductor_is_asked_shares_the_answer() -> None:
    source = Source()
    async with ticking(source) as (timer, _):
        source.slow = asyncio.Event()
        first = asyncio.create_task(timer.get())
        await wait_until(lambda: source.asked)
        young = asyncio.create_task(timer.get(60.0))
        fresh = asyncio.create_task(timer.get())
        await asyncio.sleep(0)
        source.slow.set()
        assert await young is await first
        assert await fresh is not await first
        assert source.asked == 2


async def test_nobody_is_left_waiting_when_the_timer_ends() -> None:
    source = Source()
    source.slow = asyncio.Event()
    async with ticking(source) as (timer, _):
        waiting = [asyncio.create_task(timer.get()) for _ in range(2)]
        await wait_until(lambda: source.asked)
        waiting.append(asyncio.create_task(timer.get()))
        await asyncio.sleep(0)
    for each in waiting:
        with pytest.raises(StateUnavailableError, match="poller has stopped"):
            await each


async def test_one_who_gives_up_waiting_leaves_the_others_theirs() -> None:
    source = Source()
    async with ticking(source) as (timer, _):
        first, second = (asyncio.create_task(timer.get()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).source == "registry"


async def test_when_nobody_can_be_asked_the_last_known_is_kept_and_said_to_be_that() -> None:
    source = Source()
    async with ticking(source) as (timer, said):
        await timer.get()
        source.away = True
        with pytest.raises(StateUnavailableError):
            await timer.get()
        assert said[-1].source == "none"
        assert not said[-1].live
        assert timer.get_entry("a") == RosterEntry("a", "1")
        with pytest.raises(StateUnavailableError):
            await timer.get(60.0)
        source.away = False
        assert (await timer.get()).source == "registry"


def test_counts_that_are_told_no_longer_are_still_true_of_the_same_run() -> None:
    known = RosterEntry("a", "running", 10.0, 11.0, 2, 4, "/w")
    for status in ("running", "cancelled"):
        kept = carry_over_fields(RosterEntry("a", status, 10.00001, 11.00003), known)
        assert (kept.completed_sheets, kept.total_sheets, kept.submitted_at) == (2, 4, 10.0)
        assert kept.status == status
    for other in (
        RosterEntry("a", "running", 20.0, 11.0),
        RosterEntry("a", "running", 10.0, 21.0),
        RosterEntry("a", "running", 10.0, 11.0, 3, 4),
    ):
        assert carry_over_fields(other, known) == other
    assert carry_over_fields(known, None) is known
    assert carry_over_fields(replace(known), known) is known


def test_the_end_that_was_told_first_stays_until_the_job_runs_again() -> None:
    known = RosterEntry("a", "completed", 10.0, 11.0, 2, 4, completed_at=20.0)
    for told in (
        RosterEntry("a", "completed", 10.0, 11.0),
        RosterEntry("a", "completed", 10.0, 11.0, 3, 4),
        RosterEntry("a", "completed", 10.0, 11.0, 2, 4, completed_at=99.0),
    ):
        assert carry_over_fields(told, known).completed_at == 20.0
    assert (
        carry_over_fields(RosterEntry("a", "running", 10.0, 11.0, 2, 4), known).completed_at is None
    )
    later = RosterEntry("a", "completed", 10.0, 21.0, 4, 4, completed_at=30.0)
    assert carry_over_fields(later, known) is later
