"""Runs as the hub's watchers record and know them."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.errors import CorruptStateError, MarianneStreamError, StateUnavailableError
from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.history import ended_runs, queries, recorder
from marianne_stream.history.history import History
from marianne_stream.history.history_reader import HistoryReader
from marianne_stream.history.pending import ChangeRecorder, Pending
from marianne_stream.history.records import RunRecord, SheetRecord, WriteBatch
from marianne_stream.history.store import HistoryStore
from marianne_stream.jobs import roster_poller
from marianne_stream.jobs.hub import JobHub
from marianne_stream.jobs.run_times import make_run_name, submission_time
from marianne_stream.models import JobProgress, JobState, RunTimes, Sheet, format_iso_time
from tests.support.backends import OneJobBackend
from tests.support.waiting import wait_for_value, wait_until


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


async def read_sheets(history: History, backend: OneJobBackend) -> dict[int, SheetRecord]:
    """Return the recorded sheets of the job's run."""
    assert backend.state is not None
    submitted_at = submission_time(backend.state)
    assert submitted_at is not None
    run = make_run_name(submitted_at)
    reader = HistoryReader(history.store.path)
    sheets = await reader.read(partial(queries.select_sheets, job_id="a", run=run))
    await reader.close()
    return sheets


async def test_end_is_known_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "FLUSH_INTERVAL_S", 3600.0)
    backend = OneJobBackend(make_state())
    async with recording(tmp_path / "history.db", backend) as (hub, _):
        snapshot, subscription = await hub.subscribe_job("a", 1.0)
        completed = (Sheet(1, "completed", attempt=1),)
        backend.end("completed", *completed)
        hub.refresh_job("a")
        while not snapshot.end:
            assert await subscription.queue.wait()
            snapshot = subscription.queue.take()
        subscription.close()
        (ended,) = snapshot.state.sheets
        assert ended.completed_at is not None
        # The job is read by another watcher.
        assert (await hub.get_state("a")).sheets == (ended,)


async def test_records_of_a_run_stay_if_they_cannot_be_read_when_its_job_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = OneJobBackend(make_state())
    async with recording(tmp_path / "history.db", backend) as (hub, history):
        snapshot, subscription = await hub.subscribe_job("a", 1.0)
        backend.end("completed", Sheet(1, "completed", attempt=1))
        hub.refresh_job("a")
        while not snapshot.end:
            assert await subscription.queue.wait()
            snapshot = subscription.queue.take()
        subscription.close()
    recorded = await read_sheets(history, backend)
    assert recorded[1].completed_at is not None

    def fail(*_args: object, **_options: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(ended_runs, "RELAXED_INTERVAL_S", 3600)
    async with recording(tmp_path / "history.db", backend) as (hub, history):
        with monkeypatch.context() as patch:
            patch.setattr(queries, "find_run", fail)
            assert (await hub.get_state("a")).sheets[0].completed_at is None
        again = await hub.get_state("a")
    assert again.sheets[0].completed_at == recorded[1].completed_at
    assert await read_sheets(history, backend) == recorded


def test_attempts_that_are_counted_anew_are_no_transition() -> None:
    pending = Pending()
    progress = JobProgress(RunTimes("r", 1.0), sees_changes=True)
    changes = ChangeRecorder(pending, "a", progress, is_known=True)
    first, second = Sheet(1, "completed", attempt=1), Sheet(1, "completed", attempt=2)
    changes.record_sheets([first], {1: second})
    assert pending.transitions == []
    changes.record_sheets([second], {1: first})
    assert [transition.attempt for transition in pending.transitions] == [2]


@pytest.fixture
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll the roster often also for the recorder alone."""
    monkeypatch.setattr(roster_poller, "RELAXED_IDLE_INTERVAL_S", 0.05)
    monkeypatch.setattr(ended_runs, "RELAXED_INTERVAL_S", 0.05)


async def read_runs(history: History) -> list[tuple[str, float | None, list[str]]]:
    """Return status, end and statuses of the sheets of all recorded runs of the job."""
    runs = await history.store.read(partial(queries.select_runs, job_id="a", limit=9))
    return [
        (
            run.status,
            run.completed_at,
            [
                sheet.status
                for sheet in (
                    await history.store.read(
                        partial(queries.select_sheets, job_id="a", run=run.run)
                    )
                ).values()
            ],
        )
        for run in runs
    ]


@pytest.mark.usefixtures("_polls_often")
async def test_job_that_ended_between_two_rosters_is_recorded_once(tmp_path: Path) -> None:
    old = replace(make_state("failed"), submitted_at="2026-01-01T00:00:00Z", started_at=None)
    backend = OneJobBackend(old)
    async with recording(tmp_path / "history.db", backend) as (hub, history):
        await wait_until(lambda: hub.roster.poller.latest is not None)
        ended = make_state("failed", "failed")
        backend.state = replace(ended, completed_at=ended.started_at)
        expected = [("failed", to_epoch_s(ended.started_at), ["failed"])]
        await wait_for_value(partial(read_runs, history), lambda runs: runs == expected)
        first_roster = hub.roster.poller.latest_requested_at
        await wait_until(lambda: hub.roster.poller.latest_requested_at > first_roster + 0.2)
    # Neither the old job nor the recorded one is read again.
    assert backend.job_reads == 1


@pytest.mark.usefixtures("_polls_often")
async def test_run_that_ended_while_no_server_recorded_is_ended(tmp_path: Path) -> None:
    backend = OneJobBackend(make_state())
    async with recording(tmp_path / "history.db", backend) as (_, history):
        await wait_for_value(
            partial(read_runs, history), lambda runs: runs == [("running", None, ["dispatched"])]
        )
    backend.end("cancelled", Sheet(1, "dispatched", attempt=1))
    assert backend.state is not None
    ended_at = to_epoch_s(backend.state.completed_at)
    async with recording(tmp_path / "history.db", backend) as (_, history):
        expected = [("cancelled", ended_at, ["stopped"])]
        await wait_for_value(partial(read_runs, history), lambda runs: runs == expected)


@pytest.mark.usefixtures("_polls_often")
async def test_run_that_the_last_server_did_not_see_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    now = time.time()
    store = HistoryStore(path, max_age_s=3600, max_bytes=10**8)
    await store.open()
    other = RunRecord("b", "r", now, "completed", now, now, 1, 1, None, 0.0, None, None, None, now)
    await store.write(WriteBatch([other]), "e" * 16)
    await store.close()
    # It started before the last change that was recorded, and ended while the server was away.
    started_at = format_iso_time(now - 5)
    ended = make_state("failed", "failed")
    backend = OneJobBackend(
        replace(ended, submitted_at=started_at, started_at=started_at, completed_at=started_at)
    )
    async with recording(path, backend) as (_, history):
        expected = [("failed", to_epoch_s(started_at), ["failed"])]
        await wait_for_value(partial(read_runs, history), lambda runs: runs == expected)


@pytest.mark.usefixtures("_polls_often")
@pytest.mark.parametrize("error", [CorruptStateError(), StateUnavailableError()])
async def test_ended_job_that_cannot_be_read_is_read_again_only_if_that_may_help(
    tmp_path: Path, error: MarianneStreamError
) -> None:
    backend = OneJobBackend(None)
    backend.error = error
    async with recording(tmp_path / "history.db", backend) as (hub, _):
        await wait_until(lambda: hub.roster.poller.latest is not None)
        backend.state = make_state("failed", "failed")
        await wait_until(lambda: backend.job_reads)
        first_roster = hub.roster.poller.latest_requested_at
        await wait_until(lambda: hub.roster.poller.latest_requested_at > first_roster + 0.3)
    assert (backend.job_reads > 1) == (not isinstance(error, CorruptStateError))
