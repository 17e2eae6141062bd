"""Logs: the conductor's own, and those that jobs write. Blocks: it belongs in a thread."""

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

READABLE_ADVICE = "run the server as a user who may read it; links are not followed"


def log_access(path: LogPath) -> LogAccess:
    """Return whether a log lies in a place, and may be read."""
    try:
        check_readable(path)
    except LogNotFoundError:
        return "missing"
    except LogForbiddenError:
        return "forbidden"
    return "found"


def check_conductor_log(path: str | None) -> Finding:
    """Look at the conductor's own log; None if no log of it is known."""
    subject = "conductor's log"
    if path is None:
        advice = "set log_file in the conductor's configuration, to see lines of jobs without a log"
        return Finding("warning", subject, "none is known", advice)
    log = PurePath(path)
    sight = log_access(LogPath(str(log.parent), log.name, is_conductor_log=True))
    if sight == "found":
        return Finding("ok", subject, f"{path} can be read")
    if sight == "missing":
        advice = "let the conductor write to it, or name another with conductor_log"
        return Finding("warning", subject, f"{path} is not there", advice)
    return Finding("warning", subject, f"{path} cannot be read", READABLE_ADVICE)


def check_job_logs(workspaces: Iterable[str | None], *, has_conductor_log: bool) -> Finding:
    """Count the jobs whose own log is found.

    Args:
        workspaces: the folder of each job; None if it is not known.
        has_conductor_log: whether the conductor's log has lines of the other jobs.
    """
    sights = Counter(map(job_log_access, workspaces))
    text = f"a log of their own: {sights['found']} of {pluralize(sights.total(), 'job')}"
    if sights["forbidden"]:
        text += f", {sights['forbidden']} may not be read"
        return Finding("warning", "jobs' logs", text, READABLE_ADVICE)
    if sights["missing"] and not sights["found"] and not has_conductor_log:
        advice = f"have jobs write {{workspace}}/{LOG_FILE_NAME}, or set log_file for the conductor"
        return Finding("warning", "jobs' logs", text, advice)
    return Finding("ok", "jobs' logs", text)


def job_log_access(workspace: str | None) -> LogAccess:
    """Return whether a job has a log in its workspace; the first place with something decides."""
    for named in iter_job_candidates(JobDirs(None, workspace, job_ended=False)):
        if (sight := log_access(named.log_path)) != "missing":
            return sight
    return "missing"
