"""History of one conductor: the store, what records into it, and what reads from it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from marianne_stream.common.intervals import RELAXED_INTERVAL_S
from marianne_stream.errors import HistoryUnavailableError, MarianneStreamError
from marianne_stream.history.ended_runs import EndedRuns
from marianne_stream.history.event_log import EventLog
from marianne_stream.history.history_reader import HistoryReader
from marianne_stream.history.known_runs import KnownRuns
from marianne_stream.history.recorder import Recorder
from marianne_stream.history.store import HistoryStore
from marianne_stream.jobs.hub import JobHub

# Time between two attempts to get the lock that another process has.
LOCK_RETRY_S = 2.0


class HistoryRedirect(Protocol):
    """An edge, whose origins have the histories."""

    def not_here_error(self, job_id: str | None) -> MarianneStreamError:
        """Return the error that redirects to the origin of a job, or of all jobs."""
        ...


class History:
    """Joins the parts of the history with the hub.

    Args:
        path: the file of the store.
        max_age_s: age at which records are removed.
        max_bytes: size above which the oldest records are removed.
        hub: source of what is recorded.

    Attributes:
        store: the store.
        events: the stored events.
        recorder: the recorder.
    """

    def __init__(self, path: Path, *, max_age_s: float, max_bytes: int, hub: JobHub) -> None:
        buffer = hub.events.replay_buffer
        self.store = HistoryStore(path, max_age_s=max_age_s, max_bytes=max_bytes)
        # A reader of their own: no watcher waits for a page that a client has requested.
        self._run_reader = HistoryReader(path)
        self.events = EventLog(self.store, buffer)
        self.recorder = Recorder(self.store, self.events, buffer)
        self._ended_runs = EndedRuns(self.store, self.recorder, hub)
        self._hub = hub
        self._is_open = False

    async def open(self) -> None:
        """Open the store, before the hub runs and the first event is sent."""
        self._hub.record(self.recorder, KnownRuns(self._run_reader, self.recorder).load)
        self._is_open = await self.recorder.open(restore=True)

    async def run(self) -> None:
        """Get the lock if another process has it, then record the running jobs until cancelled."""
        while not self._is_open:
            await asyncio.sleep(LOCK_RETRY_S)
            self._is_open = await self.recorder.open(restore=False)
        if self.recorder.is_recording:
            with self._hub.roster.watch_jobs(RELAXED_INTERVAL_S):
                async with asyncio.TaskGroup() as group:
                    ends = group.create_task(self._ended_runs.run(), name="ends of runs")
                    await self.recorder.run()
                    ends.cancel()
        # The task of a server must not end.
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Write what waits, and close the store."""
        await asyncio.gather(self.recorder.close(), self._run_reader.close())


def make_history_finder(
    history: History | None, edge: HistoryRedirect | None
) -> Callable[[str | None], History]:
    """Return the function that finds the history of a job, or of all jobs for None.

    It raises HistoryUnavailableError if the history is turned off, and on an edge the error that
    redirects to the origin.
    """

    def find(job_id: str | None) -> History:
        if edge is not None:
            raise edge.not_here_error(job_id)
        if history is None:
            raise HistoryUnavailableError("history is none")
        return history

    return find
