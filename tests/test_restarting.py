"""What the trial of restarts calls a fault."""

from tests.support.restarting import LATE_S, Watcher


def watcher(*numbers: int) -> Watcher:
    """One who came back when it was asked to."""
    found = Watcher("")
    found.numbers = list(numbers)
    found.ended_at, found.retry_s, found.returned_at = 10.0, 2.0, 12.0
    return found


def test_a_line_that_is_lost_doubled_or_out_of_order_is_a_fault() -> None:
    assert watcher(3, 4, 5).faults == []
    for numbers in ((1, 3), (1, 1), (1, 2, 1)):
        assert len(watcher(*numbers).faults) == 1


def test_who_comes_back_late_or_was_not_told_when_is_a_fault() -> None:
    late, untold = watcher(1), watcher(1)
    late.returned_at += LATE_S + 0.1
    untold.retry_s = None
    assert late.faults
    assert untold.faults
