"""Selection of jobs by ids and patterns of ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.cli_errors import CliJobNotFoundError
from marianne_stream.client.job_table import JobQuery, fetch_pages
from marianne_stream.errors import SettingsError
from marianne_stream.wire.job_patterns import WILDCARD, JobPatterns

# Each job has a connection.
MAX_JOBS = 100


@dataclass(frozen=True, slots=True)
class JobSelection:
    """Jobs that names stand for.

    Attributes:
        job_ids: ids of the jobs.
        patterns: those of the names that are patterns.
        listed: ids of the roster at the time when the patterns were looked up.
    """

    job_ids: tuple[str, ...]
    patterns: tuple[str, ...] = ()
    listed: frozenset[str] = frozenset()

    @property
    def is_one_job(self) -> bool:
        """True if one job was named by its id."""
        return len(self.job_ids) == 1 and not self.patterns

    def is_match(self, job_id: str) -> bool:
        """Return whether the id of a job matches a pattern."""
        return bool(self.patterns) and JobPatterns(self.patterns)(job_id)


async def select_jobs(client: ApiClient, names: Sequence[str]) -> JobSelection:
    """Look up the jobs that names stand for: an id, or a shell pattern of ids of the roster.

    A name is a pattern unless the server knows a job with this id. If too many jobs match, the
    newest ones are selected, and the reporter is told.

    Raises:
        CliJobNotFoundError: no job matches a pattern.
        SettingsError: the ids are too many.
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    names = list(dict.fromkeys(names))
    patterns = [name for name in names if WILDCARD.search(name) and not await has_job(client, name)]
    job_ids = [name for name in names if name not in patterns]
    if len(job_ids) > MAX_JOBS:
        raise SettingsError(f"at most {MAX_JOBS} jobs can be shown, got {len(job_ids)}")
    if not patterns:
        return JobSelection(tuple(job_ids))
    # The roster begins with the newest job.
    listed = [str(job["job_id"]) async for page in fetch_pages(client, JobQuery()) for job in page]
    for pattern in patterns:
        if not any(map(JobPatterns((pattern,)), listed)):
            raise CliJobNotFoundError(f"no job matches {pattern!r}")
    others = [one for one in filter(JobPatterns(tuple(patterns)), listed) if one not in job_ids]
    if (count := len(job_ids) + len(others)) > MAX_JOBS:
        client.reporter.report(f"{count} jobs match: the newest {MAX_JOBS} are shown")
    job_ids += sorted(others[: MAX_JOBS - len(job_ids)])
    return JobSelection(tuple(job_ids), tuple(patterns), frozenset(listed))


async def has_job(client: ApiClient, job_id: str) -> bool:
    """Return whether the server knows a job; raises as `select_jobs` does."""
    try:
        await client.get_json_with_retry(job_path(job_id), {}, dict[str, Any])
    except CliJobNotFoundError:
        return False
    return True
