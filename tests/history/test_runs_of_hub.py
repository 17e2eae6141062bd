"""Runs as the hub's watchers record and know them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.history import recorder
from marianne_stream.history.history import History
from marianne_stream.jobs.hub import JobHub
from marianne_stream.models import JobState, Sheet, format_iso_time
from tests.support.backends import OneJobBackend


def make_state(status: str = "running", sheet_status: str = "dispatched") -> JobState:
    """Return the state of a job that was submitted just now."""
    now = format_iso_time(time.time())
    return JobState(
        "a",
        status,
        "conductor",
        live=True,
        checkpoint_status=status,
        sheets=(Sheet(1, sheet_status, attempt=1),),
        total_sheets=1,
        submitted_at=now,
        started_at=now,
        from_checkpoint=True,
    )


@asynccontextmanager
async def recording(path: Path, backend: OneJobBackend) -> AsyncIterator[tuple[JobHub, History]]:
    """Run a hub and its history."""
    hub = JobHub(backend, ReplayBuffer())
    history = History(path, max_age_s=3600, max_bytes=10**8, hub=hub)
    await history.open()
    tasks = [asyncio.create_task(hub.run()), asyncio.create_task(history.run())]
    yield hub, history
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await history.close()


async def test_end_is_known_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "FLUSH_INTERVAL_S", 3600.0)
    backend = OneJobBackend(make_state())
    async with recording(tmp_path / "history.db", backend) as (hub, _):
        snapshot, subscription = await hub.subscribe_job("a", 1.0)
        completed = (Sheet(1, "completed", attempt=1),)
        assert backend.state is not None
        backend.state = replace(
            backend.state, status="completed", checkpoint_status="completed", sheets=completed
        )
        hub.refresh_job("a")
        while not snapshot.end:
            assert await subscription.queue.wait()
            snapshot = subscription.queue.take()
        subscription.close()
        (ended,) = snapshot.state.sheets
        assert ended.completed_at is not None
        # The job is read by another watcher.
        assert (await hub.get_state("a")).sheets == (ended,)
