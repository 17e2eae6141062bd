"""Faults that the restart trial detects."""

from benchmarks.trials import check_reconnect_spread
from tests.support.server_restart import RestartResult, RestartViewer


def watcher(*numbers: int) -> RestartViewer:
    """Return a viewer that reconnected in time."""
    found = RestartViewer("")
    found.line_numbers = list(numbers)
    found.disconnected_at, found.retry_s, found.reconnected_at = 10.0, 2.0, 12.0
    return found


def test_lost_repeated_or_misordered_line_is_an_error() -> None:
    assert watcher(3, 4, 5).errors == []
    for numbers in ((1, 3), (1, 1), (1, 2, 1)):
        assert len(watcher(*numbers).errors) == 1


def outcome(*watchers: RestartViewer) -> RestartResult:
    """Return the result of a 3 s drain that began at 9 s."""
    return RestartResult(
        list(watchers),
        exit_code=0,
        stopped_at=9.0,
        exit_s=3.0,
        takeover_s=3.5,
        min_drain_s=3.0,
        last_line_number=1,
        log="",
    )


def test_missing_or_early_retry_is_an_error() -> None:
    early, untold = watcher(1), watcher(1)
    early.retry_s, untold.retry_s = 1.9, None
    assert outcome(watcher(1)).errors == []
    assert len(outcome(early).errors) == 1
    assert outcome(untold).errors


def test_reconnects_within_one_second_are_an_error() -> None:
    spread = [number / 100 for number in range(300)]
    assert check_reconnect_spread(spread) == []
    assert len(check_reconnect_spread([*spread[:99], *([2.0] * 201)])) == 1
