"""Choice of the rows that have room on a terminal, and a summary of the others."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

RowT = TypeVar("RowT")


def choose_rows(rows: Sequence[RowT], room: int, rank: Callable[[RowT], Any]) -> list[RowT]:
    """Return the rows with the lowest ranks that have room, in their order."""
    if len(rows) <= room:
        return list(rows)
    chosen = sorted(range(len(rows)), key=lambda index: rank(rows[index]))[:room]
    return [rows[index] for index in sorted(chosen)]


def count_statuses(statuses: Iterable[str]) -> str:
    """Format how many rows have each status, the most frequent first."""
    counts = Counter(statuses).most_common()
    return ", ".join(f"{count} {status}" for status, count in counts)
