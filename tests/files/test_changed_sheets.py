"""Sheets during whose spans files have changed."""

import random

from marianne_stream.files.changed_sheets import MAX_SHEETS, find_changed_sheets
from marianne_stream.models import Sheet


def make_sheet(number: int, started_at: float | None, completed_at: float | None = None) -> Sheet:
    """Return a sheet with a span."""
    return Sheet(number, "completed", started_at=started_at, completed_at=completed_at)


def test_times_are_matched_to_spans_in_any_order() -> None:
    sheets = [make_sheet(3, 20.0), make_sheet(1, 10.0, 15.0), make_sheet(2, 12.0, 30.0)]
    found = find_changed_sheets([14.0, 5.0, 25.0, 15.0, 40.0, 15.5], sheets)
    assert found == [[1, 2], [], [2, 3], [1, 2], [3], [2]]


def test_sheet_that_has_not_begun_has_no_files() -> None:
    assert find_changed_sheets([1.0], [make_sheet(1, None)]) == [[]]


def test_all_at_work_at_a_time_are_found() -> None:
    rng = random.Random(7)
    spans = [(n, start := rng.uniform(0, 99), start + rng.uniform(0, 20)) for n in range(1, 60)]
    times = [rng.uniform(0, 120) for _ in range(200)]
    found = find_changed_sheets(times, [make_sheet(*span) for span in spans])
    for moment, numbers in zip(times, found, strict=True):
        at_work = [number for number, start, end in spans if start - 0.01 <= moment <= end]
        assert numbers == at_work if len(at_work) <= MAX_SHEETS else len(numbers) == MAX_SHEETS
