"""Names of the keys in Redis, as docs/reference/relay.md describes them."""

import re
from dataclasses import dataclass

SOURCE_NAME_PATTERN = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def sources_key(prefix: str) -> str:
    """Return the key of a set: the names of all sources that ever published."""
    return f"{prefix}:sources"


@dataclass(frozen=True, slots=True)
class SourceKeys:
    """Keys of one source.

    Attributes:
        prefix: first part of all keys.
        source: name of the source.
    """

    prefix: str
    source: str

    def _key(self, *parts: str) -> str:
        return ":".join((self.prefix, f"{{{self.source}}}", *parts))

    @property
    def pattern(self) -> str:
        """Pattern of all keys of the source."""
        return self._key("*")

    @property
    def lock(self) -> str:
        """String that expires: the fencing token of the relay that may write."""
        return self._key("lock")

    @property
    def fence(self) -> str:
        """Counter: the number of the last fencing token."""
        return self._key("fence")

    @property
    def format(self) -> str:
        """String: the version of the format."""
        return self._key("format")

    @property
    def status(self) -> str:
        """String that expires: `schema.RelayStatus`, while a relay publishes."""
        return self._key("status")

    @property
    def jobs(self) -> str:
        """Hash: the roster's entries by job id."""
        return self._key("jobs")

    @property
    def states(self) -> str:
        """Hash: the published states by job id."""
        return self._key("states")

    @property
    def changes(self) -> str:
        """Stream of hints: changes of the keys above."""
        return self._key("changes")

    @property
    def events(self) -> str:
        """Stream: the conductor's events."""
        return self._key("events")

    @property
    def interest(self) -> str:
        """Stream: states and logs that edges ask for."""
        return self._key("interest")

    def log(self, job_id: str) -> str:
        """Return the key of a stream: the newest lines and marks of a job's log."""
        return self._key("log", job_id)

    def files(self, job_id: str) -> str:
        """Return the key of a hash: hashes of first lines, by the generation of the log file."""
        return self._key("files", job_id)

    def unavailable(self, kind: str, job_id: str) -> str:
        """Return the key of a string that expires: why a state or log is unavailable."""
        return self._key("unavailable", kind, job_id)
