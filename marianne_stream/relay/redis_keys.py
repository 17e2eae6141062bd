"""Names of the keys in Redis, as docs/reference/relay.md describes them."""


class SourceKeys:
    """Keys of one source. `pattern` is a pattern of all of them."""

    def __init__(self, prefix: str, source: str) -> None:
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

    def unavailable(self, kind: str, job_id: str) -> str:
        """Return the key of a string that expires: why a state or log is unavailable."""
        return f"{self._base}:unavailable:{kind}:{job_id}"
