"""Limit on what is open at once, in total and per client."""

from collections import Counter
from typing import Literal

Limit = Literal["total", "per_client"]


class ClientLimiter:
    """Counts open streams, downloads or connections."""

    def __init__(self, max_total: int, max_per_client: int) -> None:
        self.total = 0
        self._max_total = max_total
        self._max_per_client = max_per_client
        self._by_client: Counter[str] = Counter()

    def count(self, client_key: str) -> int:
        """Return how many a client has open."""
        return self._by_client[client_key]

    def reached(self, client_key: str, *, is_exempt: bool = False) -> Limit | None:
        """Return the limit that forbids one more for a client, or None.

        `is_exempt` lifts the limit per client.
        """
        if self.total >= self._max_total:
            return "total"
        if not is_exempt and self._by_client[client_key] >= self._max_per_client:
            return "per_client"
        return None

    def add(self, client_key: str) -> None:
        """Count one more for a client."""
        self.total += 1
        self._by_client[client_key] += 1

    def remove(self, client_key: str) -> None:
        """Count one less for a client."""
        self.total -= 1
        self._by_client[client_key] -= 1
        if not self._by_client[client_key]:
            del self._by_client[client_key]
