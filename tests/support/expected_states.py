"""What a viewer saw, held against what happened."""

from itertools import pairwise
from typing import Any

from marianne_stream.models import TERMINAL_STATUSES
from tests.support.viewers import Viewer

# What a viewer sees of a state: status, completed sheets, all sheets, current sheet.
ViewerState = tuple[str, int, int, int | None]

ACTIVE_SHEET_STATUSES = ("dispatched", "in_progress")


def viewer_states(viewer: Viewer) -> list[ViewerState]:
    """The states of a viewer's `get_job_status` events, in order."""
    return [
        (data["status"], data["completed_sheets"], data["total_sheets"], data["current_sheet"])
        for data in viewer.event_data("job_status")
    ]


def expected_states(history: list[dict[str, Any]]) -> list[tuple[float, ViewerState]]:
    """The states that a job went through and a viewer can tell apart, with their times."""
    states: list[tuple[float, ViewerState]] = []
    for moment in history:
        # In a job that has ended nothing is at work, whatever its checkpoint says.
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
    """The states that lasted long enough to be seen, and were not.

    Fails when a state was seen that never was, twice in a row, or out of order.
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
