"""Counters of a simulated conductor, for tests."""

import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class ServerStatistics:
    """Counters of connections, slots, requests and events.

    A connection is open until its transport is lost, also while it waits for a slot or is half
    closed. A slot is taken until its handler has returned, even without a transport.
    """

    connections_open: int = 0
    connections_peak: int = 0
    slots_taken: int = 0
    monitor_streams_open: int = 0
    requests: Counter[str] = field(default_factory=Counter)

    # (monotonic time, method, job_id or ""), in the order of the requests.
    request_log: list[tuple[float, str, str]] = field(default_factory=list)
    events_sent: int = 0
    events_dropped: int = 0

    def count_connect(self) -> None:
        """Count an accepted connection."""
        self.connections_open += 1
        self.connections_peak = max(self.connections_peak, self.connections_open)

    def count_disconnect(self) -> None:
        """Count a lost transport."""
        self.connections_open -= 1

    def count_request(self, method: str, job_id: str) -> None:
        """Count a request that has a slot."""
        self.requests[method] += 1
        self.request_log.append((time.monotonic(), method, job_id))
