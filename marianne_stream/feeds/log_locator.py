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
from marianne_stream.jobs.hub import JobHub
from marianne_stream.logs.filters import JobFilter, LineFilter
from marianne_stream.logs.line_index import LineIndexCache
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.logs.safe_open import LogPath, open_directory, open_regular_file
from marianne_stream.models import TERMINAL_STATUSES, JobState, RosterEntry

LogSource = Literal["job", "conductor"]

LOG_FILE_NAME = "marianne.log"

# Folders are remembered for so many jobs: while the roster's entry stays the same if a current
# checkpoint named them, else for as long as a roster may be old.
MAX_CACHED_JOBS = 1000
UNCERTAIN_TTL_S = 1.0


class PathLookup(Protocol):
    """Who knows where things lie that a job's state does not tell."""

    async def find_snapshot_dir(self, job_id: str) -> str | None:
        """The folder that is left of a job whose workspace is gone."""
        ...

    async def find_conductor_log(self) -> str | None:
        """The conductor's own log."""
        ...


@dataclass(frozen=True, slots=True)
class JobDirs:
    """Where a job's files lie, and whether it is over."""

    worktree: str | None
    workspace: str | None
    job_ended: bool


@dataclass(frozen=True, slots=True)
class CachedJobDirs:
    """The folders of a job as they were last read.

    Attributes:
        entry: the roster's entry at that time; another entry may mean other folders.
        dirs: the folders.
        expires_s: when they are to be read again, by the monotonic clock.
    """

    entry: RosterEntry
    dirs: JobDirs
    expires_s: float

    def is_valid_for(self, entry: RosterEntry) -> bool:
        """Return whether the folders need not be read again."""
        return self.entry == entry and time.monotonic() < self.expires_s


@dataclass(frozen=True, slots=True)
class LogCandidate:
    """A place where a log may lie, with a name that tells nothing of the host."""

    display_name: str
    log_path: LogPath

    @property
    def full_path(self) -> str:
        """The whole path, for clients that may see all jobs."""
        return f"{self.log_path.directory}/{self.log_path.display_path}"


class LogLocator(Protocol):
    """Who finds the logs of jobs, as `FileLogLocator` does."""

    async def find_dirs(self, job_id: str) -> JobDirs:
        """Where a job's files lie."""
        ...

    async def find_log(self, job_id: str, dirs: JobDirs, source: LogSource | None) -> LogHandle:
        """The log of a job."""
        ...


class FileLogLocator:
    """Finds the logs of jobs.

    Args:
        hub: who knows the jobs.
        path_lookup: who knows of snapshots and the conductor's log.
        threads: where files are looked for.
    """

    def __init__(self, hub: JobHub, path_lookup: PathLookup, threads: LogThreads) -> None:
        self._hub = hub
        self._path_lookup = path_lookup
        self._threads = threads
        self._index_cache = LineIndexCache()
        self._dirs_cache: OrderedDict[str, CachedJobDirs] = OrderedDict()

    async def find_dirs(self, job_id: str) -> JobDirs:
        """Where a job's files lie.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        entry = (await self._hub.get_roster()).entries.get(job_id)
        known = self._dirs_cache.get(job_id)
        if entry is not None and known is not None and known.is_valid_for(entry):
            return known.dirs
        state = await self._hub.get_state(job_id)
        current = state.from_checkpoint and state.is_consistent
        folders = make_job_dirs(state, entry, is_checkpoint_current=current)
        if entry is not None:
            until_s = math.inf if current else time.monotonic() + UNCERTAIN_TTL_S
            self._dirs_cache[job_id] = CachedJobDirs(entry, folders, until_s)
            self._dirs_cache.move_to_end(job_id)
            while len(self._dirs_cache) > MAX_CACHED_JOBS:
                self._dirs_cache.popitem(last=False)
        return folders

    async def find_log(self, job_id: str, dirs: JobDirs, source: LogSource | None) -> LogHandle:
        """The log of a job: the first place where something lies decides.

        Args:
            job_id: the job.
            dirs: where its files lie.
            source: `job` for a file of its own only, `conductor` for the conductor's log only.

        Raises:
            LogNotFoundError: nothing lies in any of the places, which the error names.
            LogForbiddenError: what lies there may not be read.
        """
        threads = self._threads.for_job(job_id)
        looked: list[LogCandidate] = []
        async for named in self._iter_candidates(job_id, dirs, source):
            looked.append(named)
            try:
                await threads.read(check_readable, named.log_path)
            except LogNotFoundError:
                continue
            return self._make_handle(named.log_path, job_id)
        raise make_log_not_found_error(job_id, looked, source)

    async def _iter_candidates(
        self, job_id: str, dirs: JobDirs, source: LogSource | None
    ) -> AsyncIterator[LogCandidate]:
        if source != "conductor":
            for place in iter_job_candidates(dirs):
                yield place
            snapshot = await self._path_lookup.find_snapshot_dir(job_id)
            if snapshot:
                yield LogCandidate(
                    f"{{snapshot}}/{LOG_FILE_NAME}", LogPath(snapshot, LOG_FILE_NAME)
                )
        if source != "job":
            log = await self._path_lookup.find_conductor_log()
            if log:
                path = PurePath(log)
                found = LogPath(str(path.parent), path.name, is_conductor_log=True)
                yield LogCandidate("the conductor's log_file", found)

    def _make_handle(self, log_path: LogPath, job_id: str) -> LogHandle:
        # Of the conductor's own log, a viewer sees the lines of its job, and of no other.
        selection: LineFilter | None = JobFilter(job_id) if log_path.is_conductor_log else None
        threads = self._threads.for_job(job_id)
        return LogHandle(
            log_path, job_filter=selection, index_cache=self._index_cache, threads=threads
        )


def make_job_dirs(
    state: JobState, entry: RosterEntry | None, *, is_checkpoint_current: bool
) -> JobDirs:
    """Return where a job's files lie.

    Args:
        state: the job's state.
        entry: the roster's entry; None if the roster does not list the job.
        is_checkpoint_current: whether a checkpoint of the job's present run says so. If not, the
            entry's workspace is right: the checkpoint may be an earlier run's.
    """
    status = entry.status if entry is not None else state.status
    listed = entry.workspace if entry is not None else None
    workspace = (
        (state.workspace or listed) if is_checkpoint_current else (listed or state.workspace)
    )
    return JobDirs(state.worktree_path, workspace, status in TERMINAL_STATUSES)


def iter_job_candidates(dirs: JobDirs) -> Iterator[LogCandidate]:
    """Yield the places of a log that the job writes itself, the likeliest first."""
    if dirs.worktree:
        yield LogCandidate(f"{{worktree}}/{LOG_FILE_NAME}", LogPath(dirs.worktree, LOG_FILE_NAME))
    if dirs.workspace:
        yield LogCandidate(f"{{workspace}}/{LOG_FILE_NAME}", LogPath(dirs.workspace, LOG_FILE_NAME))
        below = LogPath(dirs.workspace, LOG_FILE_NAME, subdirectories=("logs",))
        yield LogCandidate(f"{{workspace}}/logs/{LOG_FILE_NAME}", below)


def make_log_not_found_error(
    job_id: str, candidates: list[LogCandidate], source: LogSource | None
) -> LogNotFoundError:
    """Return the error that says where a log was looked for, and how to get one."""
    advice = f"To get one, have the job write {{workspace}}/{LOG_FILE_NAME}"
    if source != "job" and not any(named.log_path.is_conductor_log for named in candidates):
        advice += ", or set log_file in the conductor's configuration"
    paths, names = (
        [named.full_path for named in candidates],
        [named.display_name for named in candidates],
    )
    return LogNotFoundError(
        f"no log of {job_id!r} in {paths}",
        detail=f"{describe_searched(names)} {advice}.",
        detail_with_paths=f"{describe_searched(paths)} {advice}.",
    )


def describe_searched(names: list[str]) -> str:
    """Return the sentences that name the places that were looked at."""
    where = f"Looked for {', '.join(names)}." if names else "Its workspace is not known."
    return f"{LogNotFoundError.default_detail} {where}"


def check_readable(log_path: LogPath) -> None:
    """Opens what lies in a place, and lets it go again."""
    open_regular_file(open_directory(log_path), log_path.name)
