"""What a simulated conductor has seen of its clients, for tests to look at.

It only counts: it must not know sockets, jobs or JSON.
"""

import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class ServerStatistics:
    """Counters that only the server changes.

    A connection is open from its accept until its transport is lost: served, waiting for a slot,
    and half closed by its peer alike. A slot is taken until its handler has returned, with or
    without a transport.
    """

    connections_open: int = 0
    connections_peak: int = 0
    slots_taken: int = 0
    monitor_streams_open: int = 0
    requests: Counter[str] = field(default_factory=Counter)

    # (monotonic time, method, job_id or ""), in the order in which the requests were taken.
    request_log: list[tuple[float, str, str]] = field(default_factory=list)
    events_sent: int = 0
    events_dropped: int = 0

    def count_connect(self) -> None:
        """Count a connection that was accepted."""
        self.connections_open += 1
        self.connections_peak = max(self.connections_peak, self.connections_open)

    def count_disconnect(self) -> None:
        """Count a connection whose transport is gone."""
        self.connections_open -= 1

    def count_request(self, method: str, job_id: str) -> None:
        """Count a request that a slot was found for."""
        self.requests[method] += 1
        self.request_log.append((time.monotonic(), method, job_id))
