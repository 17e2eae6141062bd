"""Changes count as seen with the precision of the reads that show them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from marianne_stream.errors import StateUnavailableError
from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.jobs import read_times
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.read_times import MAX_UNSEEN_S, SeenPeriod, make_read_time
from marianne_stream.jobs.subscriptions import JobSubscription
from marianne_stream.models import JobState, Sheet, format_iso_time
from tests.support.backends import OneJobBackend
from tests.support.waiting import wait_until


def test_change_after_long_silence_is_not_seen() -> None:
    assert make_read_time(100.0, 90.0).sees_changes
    assert not make_read_time(100.0, 80.0).sees_changes
    assert not make_read_time(100.0, None).sees_changes
    assert not make_read_time(80.0, 100.0).sees_changes
    assert make_read_time(100.0, 20.0, max_gap_s=84.0).sees_changes


def find_gap_s(period: SeenPeriod, *, is_scheduled: bool) -> float:
    """Return the gap of a read that begins at 500, while the last roster is of 499."""
    return period.max_gap_s(read_began_at=500.0, roster_at=499.0, is_scheduled=is_scheduled)


def test_scheduled_reads_see_all_changes_until_one_fails() -> None:
    period = SeenPeriod()
    assert find_gap_s(period, is_scheduled=True) == MAX_UNSEEN_S
    period.on_read(400.0)
    assert find_gap_s(period, is_scheduled=True) == MAX_UNSEEN_S + 100
    period.on_failure()
    assert find_gap_s(period, is_scheduled=True) == MAX_UNSEEN_S


def test_job_is_unchanged_until_the_roster_shows_another_entry() -> None:
    period = SeenPeriod()
    period.on_read(400.0)
    assert find_gap_s(period, is_scheduled=False) == MAX_UNSEEN_S + 99
    period.on_new_entry(450.0)
    period.on_new_entry(460.0)
    assert find_gap_s(period, is_scheduled=False) == MAX_UNSEEN_S + 50
    period.on_read(470.0)
    assert find_gap_s(period, is_scheduled=False) == MAX_UNSEEN_S + 29


def make_state(status: str, *sheets: Sheet) -> JobState:
    return JobState(
        "a",
        status,
        "conductor",
        live=True,
        checkpoint_status=status,
        sheets=sheets,
        total_sheets=1,
        submitted_at=format_iso_time(1000.0),
        run="r",
    )


@asynccontextmanager
async def watching(backend: OneJobBackend) -> AsyncIterator[JobSubscription]:
    """Watch the job of a backend."""
    hub = JobHub(backend, ReplayBuffer())
    running = asyncio.create_task(hub.run())
    _, subscription = await hub.subscribe_job("a", 1.0)
    yield subscription
    subscription.close()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def wait_for_sheet(subscription: JobSubscription, status: str) -> Sheet:
    """Return the sheet once it has a status."""
    while True:
        assert await subscription.queue.wait()
        for sheet in subscription.queue.take().state.sheets:
            if sheet.status == status:
                return sheet


async def test_start_of_a_job_that_was_queued_for_long_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_times, "MAX_UNSEEN_S", 1.0)
    backend = OneJobBackend(make_state("queued"))
    async with watching(backend) as subscription:
        await asyncio.sleep(1.5)
        started_at = round(time.time(), 3)
        backend.state = replace(
            make_state("running", Sheet(1, "dispatched", attempt=1)),
            started_at=format_iso_time(started_at),
        )
        sheet = await wait_for_sheet(subscription, "dispatched")
        assert sheet.started_at == started_at
        assert sheet.observed


@pytest.mark.parametrize("is_away", [False, True])
async def test_end_of_a_sheet_is_seen_by_seldom_reads_unless_one_fails(
    monkeypatch: pytest.MonkeyPatch, *, is_away: bool
) -> None:
    monkeypatch.setattr(read_times, "MAX_UNSEEN_S", 1.0)
    # The next read is due after 2.2 s.
    at_work = replace(make_state("running", Sheet(1, "dispatched", attempt=1)), cost_s=0.11)
    backend = OneJobBackend(at_work)
    async with watching(backend) as subscription:
        reads = backend.job_reads
        backend.state = replace(at_work, sheets=(Sheet(1, "failed", attempt=1),))
        if is_away:
            backend.error = StateUnavailableError()
            await wait_until(lambda: backend.job_reads > reads)
            backend.error = None
        sheet = await wait_for_sheet(subscription, "failed")
        assert (sheet.completed_at is None) == is_away
