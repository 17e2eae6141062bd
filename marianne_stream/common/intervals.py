"""The shortest of the intervals that several users ask for."""

from collections import Counter


class SharedInterval:
    """Poll interval of several users: the shortest that any of them asks for."""

    def __init__(self) -> None:
        self._counts: Counter[float] = Counter()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, interval_s: float) -> None:
        """Add a user who asks for this interval, in seconds."""
        self._counts[interval_s] += 1

    def remove(self, interval_s: float) -> None:
        """Remove a user who was added with this interval."""
        self._counts[interval_s] -= 1
        if not self._counts[interval_s]:
            del self._counts[interval_s]

    def shortest_s(self) -> float | None:
        """Return the shortest interval, in seconds, or None without users."""
        return min(self._counts, default=None)
