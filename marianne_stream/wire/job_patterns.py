"""Shell patterns of job ids, which restrict the jobs that a client may see."""

import re
from dataclasses import dataclass, field
from fnmatch import translate

WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class JobPatterns:
    """Set of jobs, given by patterns. Sets of the same patterns are equal.

    Attributes:
        patterns: case-sensitive `fnmatch` patterns of job ids, such as `nightly-*`; empty for all
            jobs.
    """

    patterns: tuple[str, ...] = ()
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        whole = "|".join(map(translate, self.patterns))
        object.__setattr__(self, "_compiled", re.compile(whole))

    @property
    def matches_all(self) -> bool:
        """True if the set is not restricted. It then includes what belongs to no job."""
        return not self.patterns

    def __call__(self, job_id: str) -> bool:
        """Return whether a job is in the set."""
        return not self.patterns or self._compiled.match(job_id) is not None

    def may_match_prefix(self, prefix: str) -> bool:
        """Return whether the set can hold a job whose id has a prefix."""
        if not self.patterns:
            return True
        literals = (WILDCARD.split(pattern, maxsplit=1)[0] for pattern in self.patterns)
        return any(one.startswith(prefix) or prefix.startswith(one) for one in literals)


# Shared by all unrestricted clients.
ALL_JOBS = JobPatterns()
