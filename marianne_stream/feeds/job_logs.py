"""Which log is a job's: the places where it may lie, in their order.

It must not know how a log is read, or who asks.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, Protocol

from marianne_stream.errors import LogNotFoundError
from marianne_stream.jobs.watches import Watches
from marianne_stream.logs.filters import OfJob
from marianne_stream.logs.index import Indexes, Selection
from marianne_stream.logs.opened import OpenLog
from marianne_stream.logs.opening import LogPlace, open_file, open_folder
from marianne_stream.logs.threads import LogThreads
from marianne_stream.models import TERMINAL_STATUSES, RosterEntry

LogSource = Literal["job", "conductor"]

LOG_NAME = "marianne.log"

# Of so many jobs the folders are remembered, for as long as the same run lasts.
REMEMBERED_JOBS = 1000


class Whereabouts(Protocol):
    """Who knows where things lie that a job's state does not tell."""

    async def snapshot(self, job_id: str) -> str | None:
        """The folder that is left of a job whose workspace is gone."""
        ...

    async def conductor_log(self) -> str | None:
        """The conductor's own log."""
        ...


@dataclass(frozen=True, slots=True)
class JobFolders:
    """Where a job's files lie, and whether it is over."""

    worktree: str | None
    workspace: str | None
    over: bool


class LogFinder(Protocol):
    """Who finds the logs of jobs, as `JobLogs` does."""

    async def folders(self, job_id: str) -> JobFolders:
        """Where a job's files lie."""
        ...

    async def find(self, job_id: str, folders: JobFolders, source: LogSource | None) -> OpenLog:
        """The log of a job."""
        ...


class JobLogs:
    """Finds the logs of jobs.

    Args:
        watches: who knows the jobs.
        whereabouts: who knows of snapshots and the conductor's log.
        threads: where files are looked for.
    """

    def __init__(self, watches: Watches, whereabouts: Whereabouts, threads: LogThreads) -> None:
        self._watches = watches
        self._whereabouts = whereabouts
        self._threads = threads
        self._indexes = Indexes()
        self._folders: OrderedDict[str, tuple[RosterEntry, JobFolders]] = OrderedDict()

    async def folders(self, job_id: str) -> JobFolders:
        """Where a job's files lie.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        entry = (await self._watches.roster()).entries.get(job_id)
        known = self._folders.get(job_id)
        if entry is not None and known is not None and known[0] == entry:
            return known[1]
        state = await self._watches.state(job_id)
        status = entry.status if entry is not None else state.status
        workspace = state.workspace or (entry.workspace if entry is not None else None)
        folders = JobFolders(state.worktree_path, workspace, status in TERMINAL_STATUSES)
        if entry is not None:
            self._folders[job_id] = (entry, folders)
            self._folders.move_to_end(job_id)
            while len(self._folders) > REMEMBERED_JOBS:
                self._folders.popitem(last=False)
        return folders

    async def find(self, job_id: str, folders: JobFolders, source: LogSource | None) -> OpenLog:
        """The log of a job: the first place where something lies decides.

        Args:
            job_id: the job.
            folders: where its files lie.
            source: `job` for a file of its own only, `conductor` for the conductor's log only.

        Raises:
            LogNotFoundError: nothing lies in any of the places.
            LogForbiddenError: what lies there may not be read.
        """
        async for place in self._places(job_id, folders, source):
            try:
                await self._threads.read(look, place)
            except LogNotFoundError:
                continue
            return self._opened(place, job_id)
        raise LogNotFoundError(f"no log of {job_id!r} in {folders}")

    async def _places(
        self, job_id: str, folders: JobFolders, source: LogSource | None
    ) -> AsyncIterator[LogPlace]:
        if source != "conductor":
            if folders.worktree:
                yield LogPlace(folders.worktree, LOG_NAME)
            if folders.workspace:
                yield LogPlace(folders.workspace, LOG_NAME)
                yield LogPlace(folders.workspace, LOG_NAME, below=("logs",))
            snapshot = await self._whereabouts.snapshot(job_id)
            if snapshot:
                yield LogPlace(snapshot, LOG_NAME)
        if source != "job":
            log = await self._whereabouts.conductor_log()
            if log:
                path = PurePath(log)
                yield LogPlace(str(path.parent), path.name, of_conductor=True)

    def _opened(self, place: LogPlace, job_id: str) -> OpenLog:
        # Of the conductor's own log, a viewer sees the lines of its job, and of no other.
        selection: Selection | None = OfJob(job_id) if place.of_conductor else None
        return OpenLog(place, selection=selection, indexes=self._indexes, threads=self._threads)


def look(place: LogPlace) -> None:
    """Opens what lies in a place, and lets it go again."""
    open_file(open_folder(place), place.name)
