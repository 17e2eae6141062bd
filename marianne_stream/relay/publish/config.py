"""Configuration of a publisher."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishConfig:
    """Destination and extent of what is published.

    Attributes:
        password: password in place of the URL's, or None.
        prefix: first part of all keys.
        public_url: address of this server for clients, or None.
        publishes_all_logs: whether all running jobs' logs are published, or those that edges want.
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
