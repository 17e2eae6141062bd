"""Sheets during whose spans files have changed."""

import heapq
import math
from collections.abc import Iterable, Sequence

from marianne_stream.models import Sheet

# Limit of the sheets of one file: a job may run thousands at a time.
MAX_SHEETS = 20

# A file's time is that of the kernel's last tick, at most 10 ms old.
TICK_S = 0.01


def find_changed_sheets(times: Sequence[float], sheets: Iterable[Sheet]) -> list[list[int]]:
    """Return the numbers of the sheets at work at each time, at most `MAX_SHEETS`, in order.

    Args:
        times: times of changes in epoch seconds, in any order.
        sheets: the sheets. One without an end is still at work.
    """
    spans = sorted(
        (sheet.started_at - TICK_S, sheet.completed_at or math.inf, sheet.number)
        for sheet in sheets
        if sheet.started_at is not None
    )
    found: list[list[int]] = [[] for _ in times]
    if not spans:
        return found
    # Sheets that have begun, the one that ends first on top.
    running: list[tuple[float, int]] = []
    started = 0
    for index in sorted(range(len(times)), key=times.__getitem__):
        while started < len(spans) and spans[started][0] <= times[index]:
            heapq.heappush(running, spans[started][1:])
            started += 1
        while running and running[0][0] < times[index]:
            heapq.heappop(running)
        found[index] = sorted(number for _, number in running[:MAX_SHEETS])
    return found
