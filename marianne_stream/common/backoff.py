"""Exponential backoff with jitter."""

import random
from collections.abc import Callable


class Backoff:
    """Delays between retries: each is twice the last one, up to a limit.

    Jitter spreads the delays, so that many clients do not come back at the same moment.

    Args:
        cap_s: limit of a delay including jitter, in seconds.
        jitter: largest deviation of a delay, as a fraction of it.
        healthy_after_s: duration of a session, in seconds, after which it counts as successful.
    """

    def __init__(
        self,
        *,
        first_s: float = 1.0,
        cap_s: float = 30.0,
        jitter: float = 0.2,
        healthy_after_s: float = 0.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first_s = self._delay_s = first_s
        self._cap_s = cap_s
        self._jitter = jitter
        self._healthy_after_s = healthy_after_s
        self._uniform = uniform

    def next_delay_s(self) -> float:
        """Return the delay before the next try, in seconds, and double the one after it."""
        spread = self._uniform(1 - self._jitter, 1 + self._jitter)
        delay_s = min(self._cap_s, self._delay_s * spread)
        self._delay_s = min(self._cap_s, self._delay_s * 2)
        return delay_s

    def reset(self) -> None:
        """Begin with the first delay again."""
        self._delay_s = self._first_s

    def session_ended(self, duration_s: float) -> None:
        """Reset if a session lasted long enough to count as successful."""
        if duration_s > self._healthy_after_s:
            self.reset()
