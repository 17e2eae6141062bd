"""Reads of a watched job that a request causes."""

import asyncio
import time
from dataclasses import replace

import pytest

from marianne_stream.common.intervals import RELAXED_INTERVAL_S
from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.jobs import watcher
from marianne_stream.jobs.hub import JobHub
from marianne_stream.models import JobState, Sheet, format_iso_time
from tests.support.backends import OneJobBackend


async def test_request_for_a_job_that_was_read_long_ago_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started_at = format_iso_time(time.time())
    backend = OneJobBackend(
        state := JobState(
            *("a", "running", "conductor"),
            live=True,
            checkpoint_status="running",
            sheets=(Sheet(1, "dispatched", attempt=1),),
            submitted_at=started_at,
            started_at=started_at,
        )
    )
    hub = JobHub(backend, ReplayBuffer())
    running = asyncio.create_task(hub.run())
    # As the recorder does.
    _, subscription = await hub.subscribe_job("a", RELAXED_INTERVAL_S)
    # The roster shows no retry.
    backend.state = replace(state, sheets=(Sheet(1, "dispatched", attempt=2),))
    monkeypatch.setattr(watcher, "ACTIVE_DELAY_S", 0.0)
    snapshot = await subscription.watcher.wait_current_snapshot()
    assert [sheet.attempt for sheet in snapshot.state.sheets] == [2]
    subscription.close()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
