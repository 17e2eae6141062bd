"""Which log is a job's: the places where it may lie, in their order.

It must not know how a log is read, or who asks.
"""

import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, Protocol

from marianne_stream.errors import LogNotFoundError
from marianne_stream.jobs.watches import JobHub
from marianne_stream.logs.filters import OfJob
from marianne_stream.logs.index import Indexes, Selection
from marianne_stream.logs.opened import OpenLog
from marianne_stream.logs.opening import LogPlace, open_file, open_folder
from marianne_stream.logs.threads import LogThreads
from marianne_stream.models import TERMINAL_STATUSES, JobState, RosterEntry

LogSource = Literal["job", "conductor"]

LOG_NAME = "marianne.log"

# Folders are remembered for so many jobs: while the roster's entry stays the same if a current
# checkpoint named them, else for as long as a roster may be old.
REMEMBERED_JOBS = 1000
UNCERTAIN_AGE_S = 1.0


class Whereabouts(Protocol):
    """Who knows where things lie that a job's state does not tell."""

    async def find_snapshot_dir(self, job_id: str) -> str | None:
        """The folder that is left of a job whose workspace is gone."""
        ...

    async def find_conductor_log(self) -> str | None:
        """The conductor's own log."""
        ...


@dataclass(frozen=True, slots=True)
class JobFolders:
    """Where a job's files lie, and whether it is over."""

    worktree: str | None
    workspace: str | None
    over: bool


@dataclass(frozen=True, slots=True)
class KnownFolders:
    """The folders of a job as they were last read.

    Attributes:
        entry: the roster's entry at that time; another entry may mean other folders.
        folders: the folders.
        until_s: when they are to be read again, by the monotonic clock.
    """

    entry: RosterEntry
    folders: JobFolders
    until_s: float

    def holds(self, entry: RosterEntry) -> bool:
        """Return whether the folders need not be read again."""
        return self.entry == entry and time.monotonic() < self.until_s


@dataclass(frozen=True, slots=True)
class NamedPlace:
    """A place where a log may lie, with a name that tells nothing of the host."""

    name: str
    place: LogPlace

    @property
    def path(self) -> str:
        """The whole path, for clients that may see all jobs."""
        return f"{self.place.folder}/{self.place.shown}"


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

    def __init__(self, watches: JobHub, whereabouts: Whereabouts, threads: LogThreads) -> None:
        self._watches = watches
        self._whereabouts = whereabouts
        self._threads = threads
        self._indexes = Indexes()
        self._folders: OrderedDict[str, KnownFolders] = OrderedDict()

    async def folders(self, job_id: str) -> JobFolders:
        """Where a job's files lie.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        entry = (await self._watches.get_roster()).entries.get(job_id)
        known = self._folders.get(job_id)
        if entry is not None and known is not None and known.holds(entry):
            return known.folders
        state = await self._watches.get_state(job_id)
        current = state.from_checkpoint and state.settled
        folders = folders_of(state, entry, current=current)
        if entry is not None:
            until_s = math.inf if current else time.monotonic() + UNCERTAIN_AGE_S
            self._folders[job_id] = KnownFolders(entry, folders, until_s)
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
            LogNotFoundError: nothing lies in any of the places, which the error names.
            LogForbiddenError: what lies there may not be read.
        """
        threads = self._threads.of_job(job_id)
        looked: list[NamedPlace] = []
        async for named in self._places(job_id, folders, source):
            looked.append(named)
            try:
                await threads.read(look, named.place)
            except LogNotFoundError:
                continue
            return self._opened(named.place, job_id)
        raise no_log(job_id, looked, source)

    async def _places(
        self, job_id: str, folders: JobFolders, source: LogSource | None
    ) -> AsyncIterator[NamedPlace]:
        if source != "conductor":
            for place in own_places(folders):
                yield place
            snapshot = await self._whereabouts.find_snapshot_dir(job_id)
            if snapshot:
                yield NamedPlace(f"{{snapshot}}/{LOG_NAME}", LogPlace(snapshot, LOG_NAME))
        if source != "job":
            log = await self._whereabouts.find_conductor_log()
            if log:
                path = PurePath(log)
                found = LogPlace(str(path.parent), path.name, of_conductor=True)
                yield NamedPlace("the conductor's log_file", found)

    def _opened(self, place: LogPlace, job_id: str) -> OpenLog:
        # Of the conductor's own log, a viewer sees the lines of its job, and of no other.
        selection: Selection | None = OfJob(job_id) if place.of_conductor else None
        threads = self._threads.of_job(job_id)
        return OpenLog(place, selection=selection, indexes=self._indexes, threads=threads)


def folders_of(state: JobState, entry: RosterEntry | None, *, current: bool) -> JobFolders:
    """Return where a job's files lie.

    Args:
        state: the job's state.
        entry: the roster's entry; None if the roster does not list the job.
        current: whether a checkpoint of the job's present run says so. If not, the entry's
            workspace is right: the checkpoint may be an earlier run's.
    """
    status = entry.status if entry is not None else state.status
    listed = entry.workspace if entry is not None else None
    workspace = (state.workspace or listed) if current else (listed or state.workspace)
    return JobFolders(state.worktree_path, workspace, status in TERMINAL_STATUSES)


def own_places(folders: JobFolders) -> Iterator[NamedPlace]:
    """Yield the places of a log that the job writes itself, the likeliest first."""
    if folders.worktree:
        yield NamedPlace(f"{{worktree}}/{LOG_NAME}", LogPlace(folders.worktree, LOG_NAME))
    if folders.workspace:
        yield NamedPlace(f"{{workspace}}/{LOG_NAME}", LogPlace(folders.workspace, LOG_NAME))
        below = LogPlace(folders.workspace, LOG_NAME, below=("logs",))
        yield NamedPlace(f"{{workspace}}/logs/{LOG_NAME}", below)


def no_log(job_id: str, looked: list[NamedPlace], source: LogSource | None) -> LogNotFoundError:
    """Return the error that says where a log was looked for, and how to get one."""
    advice = f"To get one, have the job write {{workspace}}/{LOG_NAME}"
    if source != "job" and not any(named.place.of_conductor for named in looked):
        advice += ", or set log_file in the conductor's configuration"
    paths, names = [named.path for named in looked], [named.name for named in looked]
    return LogNotFoundError(
        f"no log of {job_id!r} in {paths}",
        detail=f"{sought(names)} {advice}.",
        detail_with_paths=f"{sought(paths)} {advice}.",
    )


def sought(places: list[str]) -> str:
    """Return the sentences that name the places that were looked at."""
    where = f"Looked for {', '.join(places)}." if places else "Its workspace is not known."
    return f"{LogNotFoundError.public} {where}"


def look(place: LogPlace) -> None:
    """Opens what lies in a place, and lets it go again."""
    open_file(open_folder(place), place.name)
