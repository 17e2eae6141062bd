"""Checks of the conductor's log and of the jobs' logs. They block: call them in a thread."""

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath
from typing import Literal

from marianne_stream.cli.diagnostics.finding import Finding, pluralize
from marianne_stream.errors import LogForbiddenError, LogNotFoundError
from marianne_stream.feeds.log_locator import (
    LOG_FILE_NAME,
    JobDirs,
    check_readable,
    iter_job_candidates,
)
from marianne_stream.logs.safe_open import LogPath

LogAccess = Literal["found", "missing", "forbidden"]

READABLE_ADVICE = "run the server as a user who may read the file; links are not followed"


def log_access(path: LogPath) -> LogAccess:
    """Return whether a log exists and may be read."""
    try:
        check_readable(path)
    except LogNotFoundError:
        return "missing"
    except LogForbiddenError:
        return "forbidden"
    return "found"


def check_conductor_log(path: str | None) -> Finding:
    """Check the conductor's log."""
    subject = "conductor's log"
    if path is None:
        advice = "set log_file in the conductor's configuration, to see lines of jobs without a log"
        return Finding("warning", subject, "unknown path", advice)
    log = PurePath(path)
    access = log_access(LogPath(str(log.parent), log.name, is_conductor_log=True))
    if access == "found":
        return Finding("ok", subject, f"{path} can be read")
    if access == "missing":
        advice = "let the conductor write to it, or set conductor_log to another file"
        return Finding("warning", subject, f"{path} does not exist", advice)
    return Finding("warning", subject, f"{path} cannot be read", READABLE_ADVICE)


def check_job_logs(workspaces: Iterable[str | None], *, has_conductor_log: bool) -> Finding:
    """Count the jobs that have a log of their own.

    The conductor's log may have lines of the other jobs.
    """
    counts = Counter(map(job_log_access, workspaces))
    text = f"{counts['found']} of {pluralize(counts.total(), 'job')} with a log of their own"
    if counts["forbidden"]:
        text += f", {counts['forbidden']} may not be read"
        return Finding("warning", "jobs' logs", text, READABLE_ADVICE)
    if counts["missing"] and not counts["found"] and not has_conductor_log:
        advice = f"have jobs write {{workspace}}/{LOG_FILE_NAME}, or set log_file for the conductor"
        return Finding("warning", "jobs' logs", text, advice)
    return Finding("ok", "jobs' logs", text)


def job_log_access(workspace: str | None) -> LogAccess:
    """Return whether a job has a log in its workspace; the first existing file decides."""
    for candidate in iter_job_candidates(JobDirs(None, workspace, job_ended=False)):
        if (access := log_access(candidate.log_path)) != "missing":
            return access
    return "missing"
