"""Names of the keys in Redis, as docs/reference/relay.md describes them."""

import re

SOURCE_NAME_PATTERN = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def sources_key(prefix: str) -> str:
    """Return the key of a set: the names of all sources that ever published."""
    return f"{prefix}:sources"


class SourceKeys:
    """Keys of one source.

    Attributes:
        pattern: pattern of all keys of the source.
        lock: string that expires: the fencing token of the relay that may write.
        fence: counter: the number of the last fencing token.
        format: string: the version of the format.
        status: string that expires: `schema.RelayStatus`, while a relay publishes.
        jobs: hash: the roster's entries by job id.
        states: hash: the published states by job id.
        changes: stream of hints: changes of the keys above.
        events: stream: the conductor's events.
        interest: stream: states and logs that edges ask for.
    """

    def __init__(self, prefix: str, source: str) -> None:
        self.prefix = prefix
        self.source = source
        self._base = base = f"{prefix}:{{{source}}}"
        self.pattern = f"{base}:*"
        self.lock = f"{base}:lock"
        self.fence = f"{base}:fence"
        self.format = f"{base}:format"
        self.status = f"{base}:status"
        self.jobs = f"{base}:jobs"
        self.states = f"{base}:states"
        self.changes = f"{base}:changes"
        self.events = f"{base}:events"
        self.interest = f"{base}:interest"

    def log(self, job_id: str) -> str:
        """Return the key of a stream: the newest lines and marks of a job's log."""
        return f"{self._base}:log:{job_id}"

    def files(self, job_id: str) -> str:
        """Return the key of a hash: hashes of first lines, by the generation of the log file."""
        return f"{self._base}:files:{job_id}"

    def unavailable(self, kind: str, job_id: str) -> str:
        """Return the key of a string that expires: why a state or log is unavailable."""
        return f"{self._base}:unavailable:{kind}:{job_id}"
