"""Growth that the soak trial detects."""

import random

import pytest

from benchmarks.soak_trial import estimate_growth


def test_fluctuation_is_no_growth() -> None:
    chance = random.Random(7)
    assert abs(estimate_growth([70_000 + chance.uniform(-2000, 2000) for _ in range(60)])) < 1000


def test_warm_up_is_no_growth() -> None:
    assert estimate_growth([*range(50_000, 70_000, 2000), *[70_000] * 20]) == 0


def test_small_leak_in_noise_is_growth() -> None:
    chance = random.Random(7)
    leaking = [70_000 + 100 * turn + chance.uniform(-2000, 2000) for turn in range(60)]
    assert estimate_growth(leaking) == pytest.approx(3900, rel=0.3)


def test_outlier_does_not_change_the_estimate() -> None:
    assert estimate_growth([10.0] * 20 + [500.0] + [10.0] * 9) == 0


def test_too_few_samples_raise() -> None:
    with pytest.raises(ValueError, match="8 rounds are too few"):
        estimate_growth([1.0] * 8)
