"""The names of the keys in Redis, as docs/reference/relay.md describes them.

It must not know what is kept there.
"""

import re
from dataclasses import dataclass

SOURCE_NAME_PATTERN = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def sources_key(prefix: str) -> str:
    """A set: the names of all sources that ever published."""
    return f"{prefix}:sources"


@dataclass(frozen=True, slots=True)
class SourceKeys:
    """The keys of one source.

    Attributes:
        prefix: what all keys of one set-up begin with.
        source: the source's name.
    """

    prefix: str
    source: str

    def _key(self, *parts: str) -> str:
        return ":".join((self.prefix, f"{{{self.source}}}", *parts))

    @property
    def pattern(self) -> str:
        """The pattern of all keys of the source."""
        return self._key("*")

    @property
    def lock(self) -> str:
        """A string that expires: the fencing token of the relay that may write."""
        return self._key("lock")

    @property
    def fence(self) -> str:
        """A counter: the number of the last fencing token that was given."""
        return self._key("fence")

    @property
    def format(self) -> str:
        """A string: the version of the format in which the source is published."""
        return self._key("format")

    @property
    def status(self) -> str:
        """A string that expires: `format.About`; there while a relay publishes."""
        return self._key("status")

    @property
    def jobs(self) -> str:
        """A hash: the roster, an entry by each job id."""
        return self._key("jobs")

    @property
    def states(self) -> str:
        """A hash: the state of each job that is published, by its id."""
        return self._key("states")

    @property
    def changes(self) -> str:
        """A stream of hints: what of the above has changed."""
        return self._key("changes")

    @property
    def events(self) -> str:
        """A stream: the timeline."""
        return self._key("events")

    @property
    def interest(self) -> str:
        """A stream: what somebody on an edge watches."""
        return self._key("interest")

    def log(self, job_id: str) -> str:
        """A stream: the newest lines of a job's log, and what happened between them."""
        return self._key("log", job_id)

    def files(self, job_id: str) -> str:
        """A hash: by the generation of a job's log file, the fingerprint of its first line."""
        return self._key("files", job_id)

    def unavailable(self, kind: str, job_id: str) -> str:
        """A string that expires: why a state or a log that was asked for is not to be had."""
        return self._key("unavailable", kind, job_id)
