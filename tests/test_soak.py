"""Growth that the soak trial detects."""

import random

import pytest

from benchmarks.soak_trial import estimate_growth


def test_what_rises_and_falls_has_not_grown() -> None:
    chance = random.Random(7)
    assert abs(estimate_growth([70_000 + chance.uniform(-2000, 2000) for _ in range(60)])) < 1000


def test_what_warms_up_first_has_not_grown() -> None:
    assert estimate_growth([*range(50_000, 70_000, 2000), *[70_000] * 20]) == 0


def test_a_small_leak_behind_a_lot_of_noise_has_grown() -> None:
    chance = random.Random(7)
    leaking = [70_000 + 100 * turn + chance.uniform(-2000, 2000) for turn in range(60)]
    assert estimate_growth(leaking) == pytest.approx(3900, rel=0.3)


def test_one_reading_far_off_does_not_matter() -> None:
    assert estimate_growth([10.0] * 20 + [500.0] + [10.0] * 9) == 0


def test_too_few_rounds_tell_nothing() -> None:
    with pytest.raises(ValueError, match="8 rounds are too few"):
        estimate_growth([1.0] * 8)
