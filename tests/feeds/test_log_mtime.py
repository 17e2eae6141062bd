"""Time of the last write to a job's log."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.feeds.log_locator import FileLogLocator
from marianne_stream.feeds.log_mtime import make_log_mtime_reader
from marianne_stream.jobs.hub import JobHub
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.models import JobState, format_iso_time
from tests.support.backends import OneJobBackend


class NoPaths:
    """Lookup that must not be used: it decodes the checkpoint in the registry."""

    async def find_snapshot_dir(self, job_id: str) -> str | None:
        raise AssertionError(job_id)

    async def find_conductor_log(self) -> str | None:
        raise AssertionError


@pytest.fixture
async def locator(tmp_path: Path) -> AsyncIterator[FileLogLocator]:
    """Yield the locator of the logs of a running job, with its workspace in a directory."""
    state = JobState(
        "a",
        "running",
        "conductor",
        live=True,
        checkpoint_status="running",
        submitted_at=format_iso_time(time.time()),
        workspace=str(tmp_path),
        from_checkpoint=True,
    )
    hub, threads = JobHub(OneJobBackend(state), ReplayBuffer()), LogThreads()
    running = asyncio.create_task(hub.run())
    yield FileLogLocator(hub, NoPaths(), threads)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    threads.close()


@pytest.mark.parametrize("folder", [".", "logs"])
async def test_time_of_the_log_in_the_workspace(
    locator: FileLogLocator, tmp_path: Path, folder: str
) -> None:
    log = tmp_path / folder / "marianne.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("line\n")
    os.utime(log, (1000.0, 1000.0))
    assert await make_log_mtime_reader(locator)("a") == 1000.0


async def test_job_without_a_log_needs_no_registry(locator: FileLogLocator) -> None:
    assert await make_log_mtime_reader(locator)("a") is None
