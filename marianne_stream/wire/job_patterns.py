"""Which jobs somebody may see, as shell patterns of their ids. Pure values."""

import re
from dataclasses import dataclass, field
from fnmatch import translate

WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class JobPatterns:
    """A choice of jobs; two that were made of the same patterns are equal.

    Attributes:
        patterns: of job ids, as `fnmatch` has them, case counted: `nightly-*`. None at all is
            every job.
    """

    patterns: tuple[str, ...] = ()
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        whole = "|".join(map(translate, self.patterns))
        object.__setattr__(self, "_compiled", re.compile(whole))

    @property
    def matches_all(self) -> bool:
        """Whether nothing is left out, what is of no job included."""
        return not self.patterns

    def __call__(self, job_id: str) -> bool:
        """Whether a job is among them."""
        return not self.patterns or self._compiled.match(job_id) is not None

    def may_match_prefix(self, prefix: str) -> bool:
        """Return whether an id that begins with a text can be among them."""
        if not self.patterns:
            return True
        literals = (WILDCARD.split(pattern, maxsplit=1)[0] for pattern in self.patterns)
        return any(one.startswith(prefix) or prefix.startswith(one) for one in literals)


# One for all who may see everything.
ALL_JOBS = JobPatterns()
