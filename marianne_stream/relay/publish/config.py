"""Configuration of a publisher."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishConfig:
    """Destination and extent of what is published.

    Attributes:
        url: URL of Redis.
        password: password for Redis, in place of the URL's; None to use the URL's.
        prefix: first part of all keys.
        source_name: name of the source.
        public_url: address at which clients can ask this server for files, or None.
        publishes_all_logs: whether the log of every running job is published, or only the logs that
            an edge asks for.
        max_log_lines: approximate limit of the entries of a log.
        log_ttl_s: time for which a log is kept after its last write, in seconds.
    """

    url: str
    password: str | None
    prefix: str
    source_name: str
    public_url: str | None
    publishes_all_logs: bool
    max_log_lines: int
    log_ttl_s: int
