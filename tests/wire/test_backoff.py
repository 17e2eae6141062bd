"""Delays double up to a cap, and are spread."""

from itertools import islice

from marianne_stream.wire.backoff import exponential_backoff


def test_delays_double_up_to_cap() -> None:
    middle = exponential_backoff(uniform=lambda low, high: (low + high) / 2)
    assert list(islice(middle, 7)) == [1, 2, 4, 8, 16, 30, 30]


def test_each_delay_is_spread_but_none_passes_the_cap() -> None:
    low = list(islice(exponential_backoff(uniform=lambda low, _high: low), 7))
    high = list(islice(exponential_backoff(uniform=lambda _low, high: high), 7))
    assert low == [0.8, 1.6, 3.2, 6.4, 12.8, 24.0, 24.0]
    assert high == [1.2, 2.4, 4.8, 9.6, 19.2, 30.0, 30.0]
