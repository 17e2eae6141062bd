"""Locator of a job's log: the candidate paths, in order."""

import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, NamedTuple, Protocol

from marianne_stream.errors import LogNotFoundError
from marianne_stream.jobs.hub import JobHub
from marianne_stream.logs.filters import JobFilter
from marianne_stream.logs.line_index import LineIndexCache
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_threads import LogThreads
from marianne_stream.logs.safe_open import LogPath, open_log_file
from marianne_stream.models import TERMINAL_STATUSES, JobState, RosterEntry

# A file of the job only, or the conductor's log only.
LogSource = Literal["job", "conductor"]

LOG_FILE_NAME = "marianne.log"

# Limits of the cache of folders. Folders from a current checkpoint are valid while the roster entry
# stays the same, others for UNCERTAIN_TTL_S.
MAX_CACHED_JOBS = 1000
UNCERTAIN_TTL_S = 1.0


class PathLookup(Protocol):
    """Lookup of paths that are not part of a job's state."""

    async def find_snapshot_dir(self, job_id: str) -> str | None:
        """Return the snapshot of a removed workspace, or None."""

    async def find_conductor_log(self) -> str | None:
        """Return the path of the conductor's log, or None."""


@dataclass(frozen=True, slots=True)
class JobDirs:
    """Folders of a job, and whether it has ended."""

    worktree: str | None
    workspace: str | None
    job_ended: bool


class CachedJobDirs(NamedTuple):
    """Folders of a job as they were last read. Another roster entry may mean other folders."""

    entry: RosterEntry
    dirs: JobDirs
    expires_s: float


@dataclass(frozen=True, slots=True)
class LogCandidate:
    """Path where a log may be, with a name that does not reveal paths of the host."""

    display_name: str
    log_path: LogPath

    @property
    def full_path(self) -> str:
        """Whole path, for clients that may see all jobs."""
        return f"{self.log_path.directory}/{self.log_path.display_path}"


class LogLocator(Protocol):
    """Finds the logs of jobs."""

    async def find_dirs(self, job_id: str) -> JobDirs:
        """Return the folders of a job."""

    async def find_log(self, job_id: str, dirs: JobDirs, source: LogSource | None) -> LogHandle:
        """Return the handle of a job's log."""


class FileLogLocator:
    """Finds the logs of jobs on disk."""

    def __init__(self, hub: JobHub, path_lookup: PathLookup, threads: LogThreads) -> None:
        self._hub = hub
        self._path_lookup = path_lookup
        self.threads = threads
        self._index_cache = LineIndexCache()
        self._dirs_cache: OrderedDict[str, CachedJobDirs] = OrderedDict()

    async def find_dirs(self, job_id: str) -> JobDirs:
        """Return the folders of a job.

        Raises:
            JobNotFoundError: the job does not exist.
            StateUnavailableError: no backend could be read.
        """
        entry = (await self._hub.roster.get()).entries.get(job_id)
        cached = self._dirs_cache.get(job_id)
        if cached is not None and cached.entry == entry and time.monotonic() < cached.expires_s:
            return cached.dirs
        state = await self._hub.get_state(job_id)
        current = state.from_checkpoint and state.is_consistent
        dirs = make_job_dirs(state, entry, is_checkpoint_current=current)
        if entry is not None:
            until_s = math.inf if current else time.monotonic() + UNCERTAIN_TTL_S
            self._dirs_cache[job_id] = CachedJobDirs(entry, dirs, until_s)
            self._dirs_cache.move_to_end(job_id)
            while len(self._dirs_cache) > MAX_CACHED_JOBS:
                self._dirs_cache.popitem(last=False)
        return dirs

    async def find_log(self, job_id: str, dirs: JobDirs, source: LogSource | None) -> LogHandle:
        """Return the handle of a job's log: of the first candidate that exists.

        Raises:
            LogNotFoundError: no candidate exists. The error names them.
            LogForbiddenError: the candidate may not be read.
        """
        threads = self.threads.for_job(job_id)
        candidates: list[LogCandidate] = []
        async for candidate in self._iter_candidates(job_id, dirs, source):
            candidates.append(candidate)
            try:
                await threads.read(check_readable, candidate.log_path)
            except LogNotFoundError:
                continue
            log_path = candidate.log_path
            # In the conductor's log, a client sees the lines of its job only.
            job_filter = JobFilter(job_id) if log_path.is_conductor_log else None
            return LogHandle(
                log_path,
                job_filter=job_filter,
                index_cache=self._index_cache,
                threads=threads,
            )
        raise make_log_not_found_error(job_id, candidates, source)

    async def _iter_candidates(
        self, job_id: str, dirs: JobDirs, source: LogSource | None
    ) -> AsyncIterator[LogCandidate]:
        if source != "conductor":
            for candidate in iter_job_candidates(dirs):
                yield candidate
            snapshot = await self._path_lookup.find_snapshot_dir(job_id)
            if snapshot:
                yield make_candidate("snapshot", snapshot)
        if source != "job":
            log = await self._path_lookup.find_conductor_log()
            if log:
                path = PurePath(log)
                found = LogPath(str(path.parent), path.name, is_conductor_log=True)
                yield LogCandidate("the conductor's log_file", found)


def make_job_dirs(
    state: JobState, entry: RosterEntry | None, *, is_checkpoint_current: bool
) -> JobDirs:
    """Return the folders of a job.

    If the state does not come from a checkpoint of the current run, the workspace of the roster
    entry is right.
    """
    status = entry.status if entry is not None else state.status
    listed = entry.workspace if entry is not None else None
    workspace = (
        (state.workspace or listed) if is_checkpoint_current else (listed or state.workspace)
    )
    return JobDirs(state.worktree_path, workspace, status in TERMINAL_STATUSES)


def iter_job_candidates(dirs: JobDirs) -> Iterator[LogCandidate]:
    """Yield the paths of a log that the job writes itself, the likeliest first."""
    if dirs.worktree:
        yield make_candidate("worktree", dirs.worktree)
    if dirs.workspace:
        yield make_candidate("workspace", dirs.workspace)
        yield make_candidate("workspace", dirs.workspace, "logs")


def make_candidate(kind: str, directory: str, *subdirectories: str) -> LogCandidate:
    """Return the path of a log in a kind of directory, or below it."""
    path = LogPath(directory, LOG_FILE_NAME, subdirectories)
    return LogCandidate(f"{{{kind}}}/{path.display_path}", path)


def make_log_not_found_error(
    job_id: str, candidates: list[LogCandidate], source: LogSource | None
) -> LogNotFoundError:
    """Make the error that names the searched paths, and says how to get a log."""
    advice = f"To get one, have the job write {{workspace}}/{LOG_FILE_NAME}"
    if source != "job" and not any(candidate.log_path.is_conductor_log for candidate in candidates):
        advice += ", or set log_file in the conductor's configuration"
    paths, names = (
        [candidate.full_path for candidate in candidates],
        [candidate.display_name for candidate in candidates],
    )
    return LogNotFoundError(
        f"no log of {job_id!r} in {paths}",
        detail=f"{describe_searched(names)} {advice}.",
        detail_with_paths=f"{describe_searched(paths)} {advice}.",
    )


def describe_searched(names: list[str]) -> str:
    """Return the sentences that name the searched paths."""
    where = f"Looked for {', '.join(names)}." if names else "Its workspace is not known."
    return f"{LogNotFoundError.default_detail} {where}"


def check_readable(log_path: LogPath) -> None:
    """Open a file and close it again."""
    open_log_file(log_path)
