"""Compare the states that a viewer saw with those that a job had."""

from itertools import pairwise
from typing import Any

from marianne_stream.models import TERMINAL_STATUSES
from tests.support.viewers import Viewer

# The parts of a state that viewers see: status, completed sheets, all sheets, current sheet.
ViewerState = tuple[str, int, int, int | None]

ACTIVE_SHEET_STATUSES = ("dispatched", "in_progress")


def viewer_states(viewer: Viewer) -> list[ViewerState]:
    """Return the states of a viewer's `job_status` events, in order."""
    return [
        (data["status"], data["completed_sheets"], data["total_sheets"], data["current_sheet"])
        for data in viewer.event_data("job_status")
    ]


def expected_states(history: list[dict[str, Any]]) -> list[tuple[float, ViewerState]]:
    """Return a job's states that viewers can distinguish, with their times."""
    states: list[tuple[float, ViewerState]] = []
    for moment in history:
        # In an ended job no sheet is active, whatever the checkpoint says.
        over = moment["status"] in TERMINAL_STATUSES
        working = [
            int(n) for n, s in moment["sheets"].items() if s in ACTIVE_SHEET_STATUSES and not over
        ]
        state = (
            moment["status"],
            moment["completed"],
            moment["total"] or 0,
            min(working, default=None),
        )
        if not states or states[-1][1] != state:
            states.append((moment["t"], state))
    return states


def find_missing_states(
    expected: list[tuple[float, ViewerState]], received: list[ViewerState], *, min_duration_s: float
) -> list[tuple[float, ViewerState]]:
    """Return the states that lasted longer than `min_duration_s` and were not seen.

    Fails if a state was seen that never existed, twice in a row, or out of order.
    """
    assert all(one != other for one, other in pairwise(received)), received
    lost = []
    left = list(received)
    for index, (at, state) in enumerate(expected):
        if left and left[0] == state:
            left.pop(0)
            continue
        last = index + 1 == len(expected)
        if last or expected[index + 1][0] - at > min_duration_s:
            lost.append((at, state))
    assert not left, f"not among what happened, or out of order: {left[0]} in {received}"
    return lost
