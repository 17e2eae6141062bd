"""The shortest of the intervals that several users ask for."""

from collections import Counter
from collections.abc import Callable

# Users with an interval as long as this want to cost little, as the recorder does.
RELAXED_INTERVAL_S = 10.0


class SharedInterval:
    """Poll interval of several users: the shortest that any of them asks for.

    `on_change` is called when a user has come or gone.
    """

    def __init__(self, on_change: Callable[[], object] = lambda: None) -> None:
        self._on_change = on_change
        self._counts: Counter[float] = Counter()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, interval_s: float) -> None:
        """Add a user who asks for this interval, in seconds."""
        self._counts[interval_s] += 1
        self._on_change()

    def remove(self, interval_s: float) -> None:
        """Remove a user who was added with this interval."""
        self._counts[interval_s] -= 1
        if not self._counts[interval_s]:
            del self._counts[interval_s]
        self._on_change()

    @property
    def is_relaxed(self) -> bool:
        """True if no user needs to be told of a change sooner than after RELAXED_INTERVAL_S."""
        return min(self._counts, default=RELAXED_INTERVAL_S) >= RELAXED_INTERVAL_S

    def shortest_s(self) -> float | None:
        """Return the shortest interval, in seconds, or None without users."""
        return min(self._counts, default=None)
