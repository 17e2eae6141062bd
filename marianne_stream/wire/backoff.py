"""How long to wait before the next try, as a plain generator of seconds."""

import random
from collections.abc import Callable, Iterator


def exponential_backoff(
    *,
    first_s: float = 1.0,
    cap_s: float = 30.0,
    jitter: float = 0.2,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Iterator[float]:
    """Yields delays that double up to a cap, each spread so that many do not come back as one.

    Args:
        first_s: the first delay, in seconds.
        cap_s: no delay is longer, spread included.
        jitter: how far a delay is spread, as a part of it, up and down.
        uniform: where the spread comes from.
    """
    delay_s = first_s
    while True:
        yield min(cap_s, delay_s * uniform(1 - jitter, 1 + jitter))
        delay_s = min(cap_s, delay_s * 2)
