"""What a viewer saw, held against what happened."""

from itertools import pairwise
from typing import Any

from marianne_stream.models import TERMINAL_STATUSES
from tests.support.viewers import Viewer

# What a viewer sees of a state: status, completed sheets, all sheets, current sheet.
Seen = tuple[str, int, int, int | None]

WORKING = ("dispatched", "in_progress")


def seen_by(viewer: Viewer) -> list[Seen]:
    """The states of a viewer's `get_job_status` events, in order."""
    return [
        (data["status"], data["completed_sheets"], data["total_sheets"], data["current_sheet"])
        for data in viewer.data("job_status")
    ]


def happened(moments: list[dict[str, Any]]) -> list[tuple[float, Seen]]:
    """The states that a job went through and a viewer can tell apart, with their times."""
    states: list[tuple[float, Seen]] = []
    for moment in moments:
        # In a job that has ended nothing is at work, whatever its checkpoint says.
        over = moment["status"] in TERMINAL_STATUSES
        working = [int(n) for n, s in moment["sheets"].items() if s in WORKING and not over]
        state = (
            moment["status"],
            moment["completed"],
            moment["total"] or 0,
            min(working, default=None),
        )
        if not states or states[-1][1] != state:
            states.append((moment["t"], state))
    return states


def missing(
    truth: list[tuple[float, Seen]], seen: list[Seen], *, closer_than_s: float
) -> list[tuple[float, Seen]]:
    """The states that lasted long enough to be seen, and were not.

    Fails when a state was seen that never was, twice in a row, or out of order.
    """
    assert all(one != other for one, other in pairwise(seen)), seen
    lost = []
    left = list(seen)
    for index, (at, state) in enumerate(truth):
        if left and left[0] == state:
            left.pop(0)
            continue
        last = index + 1 == len(truth)
        if last or truth[index + 1][0] - at > closer_than_s:
            lost.append((at, state))
    assert not left, f"not among what happened, or out of order: {left[0]} in {seen}"
    return lost
