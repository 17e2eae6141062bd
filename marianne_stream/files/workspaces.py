"""Workspaces of jobs: their lists, and their files as logs that the log engine reads."""

from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import unquote_to_bytes

from marianne_stream.errors import (
    BadRequestError,
    JobFileForbiddenError,
    JobFileNotFoundError,
    LogForbiddenError,
    LogNotFoundError,
)
from marianne_stream.feeds.log_feeds import FileLogFeeds
from marianne_stream.feeds.log_follower import LogFollowers
from marianne_stream.feeds.log_locator import JobDirs, LogLocator, LogSource
from marianne_stream.files.file_rules import FileRules, check_no_overlap
from marianne_stream.files.listing import NO_WORKSPACE, FileList, ListQuery, list_files
from marianne_stream.jobs.hub import JobHub
from marianne_stream.logs.line_index import LineIndexCache
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.log_threads import JobThreads, LogThreads
from marianne_stream.logs.safe_open import LogPath, OwnedFd, open_log_file
from marianne_stream.wire import job_ids
from marianne_stream.wire.job_patterns import JobPatterns

# Files of other names are complete by themselves: `report` has nothing to do with `report.1`.
LOG_ENDINGS = (".log", ".out", ".err")

# Limit of a path (PATH_MAX of Linux), in bytes.
MAX_PATH_BYTES = 4096


@dataclass(frozen=True, slots=True)
class WorkspaceFile(LogPath):
    """Path of a file in a workspace, whose rules are checked each time it is opened."""

    not_found: ClassVar[type[LogNotFoundError]] = JobFileNotFoundError
    forbidden: ClassVar[type[LogForbiddenError]] = JobFileForbiddenError

    rules: FileRules | None = field(default=None, compare=False)

    @property
    def display_path(self) -> str:
        r"""Path below the workspace; a byte that is not UTF-8 is `\xff`."""
        return job_ids.escape("/".join((*self.subdirectories, self.name)))

    @property
    def is_rotated(self) -> bool:
        """True if files of like names, such as `x.log.1`, belong to it: its name is a log's."""
        return self.name.endswith(LOG_ENDINGS)

    def check(self, file: OwnedFd) -> None:
        """Check an open file; raises as `FileRules.check_file` does."""
        if self.rules is not None:
            self.rules.check_file(file, depth=len(self.subdirectories) + 1)


class WorkspaceFileLocator:
    """Finds one file in the workspaces of jobs: a locator for the log engine.

    Args:
        workspaces: the workspaces.
        path: names of the folders and of the file.
        job_scope: jobs that the client may see.
    """

    def __init__(
        self, workspaces: "Workspaces", path: tuple[str, ...], job_scope: JobPatterns
    ) -> None:
        self._workspaces = workspaces
        self._path = path
        self._job_scope = job_scope

    async def find_dirs(self, job_id: str) -> JobDirs:
        """Return the folders of a job; raises as `Workspaces.find_dirs` does."""
        return await self._workspaces.find_dirs(job_id, self._job_scope)

    async def find_log(
        self, job_id: str, dirs: JobDirs, source: LogSource | None = None
    ) -> LogHandle:
        """Return the handle of the file in a job's workspace; there is one source only.

        Raises:
            JobFileNotFoundError: there is no such file.
            JobFileForbiddenError: it may not be read.
        """
        del source
        return await self._workspaces.open_file(job_id, dirs, self._path)


class Workspaces:
    """Workspaces of all jobs.

    Args:
        hub: source of the jobs.
        locator: finds the folders of jobs.
        threads: threads for reading, which jobs share fairly.
        followers: followers of logs.
        rules: rules for the files.
    """

    def __init__(
        self,
        hub: JobHub,
        locator: LogLocator,
        threads: LogThreads,
        followers: LogFollowers,
        rules: FileRules,
    ) -> None:
        self._hub = hub
        self._locator = locator
        self._threads = threads
        self._followers = followers
        self._rules = rules
        self._index_cache = LineIndexCache()

    def threads_for(self, job_id: str) -> JobThreads:
        """Return a job's share of the threads."""
        return self._threads.for_job(job_id)

    async def find_dirs(self, job_id: str, job_scope: JobPatterns) -> JobDirs:
        """Return the folders of a job.

        Raises:
            JobNotFoundError: the job does not exist.
            JobFileForbiddenError: the workspace is shared with a job outside of the scope.
            StateUnavailableError: no backend could be read.
        """
        dirs = await self._locator.find_dirs(job_id)
        if dirs.workspace is not None and not job_scope.matches_all:
            entries = (await self._hub.roster.get()).entries.values()
            others = [
                entry.workspace
                for entry in entries
                if entry.workspace and not job_scope(entry.job_id)
            ]
            await self.threads_for(job_id).read(check_no_overlap, dirs.workspace, others)
        return dirs

    async def list_files(self, job_id: str, query: ListQuery, job_scope: JobPatterns) -> FileList:
        """Return the files of a job's workspace. Cancelling stops the walk.

        Raises:
            JobNotFoundError: the job does not exist.
            JobFileNotFoundError: its workspace does not exist.
            JobFileForbiddenError: the files of its workspace are not served.
            StateUnavailableError: no backend could be read.
        """
        dirs = await self.find_dirs(job_id, job_scope)
        workspace = self._make_path(dirs, ("",))
        return await self.threads_for(job_id).work_on_files(
            list_files, workspace, self._rules, query
        )

    async def open_file(self, job_id: str, dirs: JobDirs, path: tuple[str, ...]) -> LogHandle:
        """Return the handle of a file; raises as `WorkspaceFileLocator.find_log` does."""
        file = self._make_path(dirs, path)
        threads = self.threads_for(job_id)
        try:
            await threads.read(open_log_file, file)
        except JobFileNotFoundError as error:
            detail = f"This job has no file {file.display_path[:200]!r}."
            raise JobFileNotFoundError(str(error), detail=detail) from error
        return LogHandle(file, job_filter=None, index_cache=self._index_cache, threads=threads)

    def make_feeds(self, locator: WorkspaceFileLocator) -> FileLogFeeds:
        """Return the provider of feeds of one file."""
        return FileLogFeeds(locator, self._followers)

    def _make_path(self, dirs: JobDirs, path: tuple[str, ...]) -> WorkspaceFile:
        if dirs.workspace is None:
            raise JobFileNotFoundError(detail=NO_WORKSPACE)
        return WorkspaceFile(dirs.workspace, path[-1], path[:-1], rules=self._rules)


def parse_path(encoded: str) -> tuple[str, ...]:
    """Return the names in a percent-encoded path below a workspace.

    Raises:
        BadRequestError: it is no such path: a name is empty, `.` or `..`, or has a NUL.
    """
    data = unquote_to_bytes(encoded)
    names = data.split(b"/")
    if len(data) > MAX_PATH_BYTES or b"\0" in data or any(n in (b"", b".", b"..") for n in names):
        raise BadRequestError(
            detail="a path of a file must be at most 4,096 bytes long, and have names between its "
            "slashes, of which none is . or .."
        )
    return tuple(name.decode("utf-8", "surrogateescape") for name in names)
