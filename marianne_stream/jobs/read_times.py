"""Times of the reads of a job, and whether changes between two of them were seen. Pure."""

from dataclasses import dataclass

# A change counts as seen if it came at most this long after the last moment without it.
MAX_UNSEEN_S = 15.0


@dataclass(frozen=True, slots=True)
class ReadTime:
    """Time of a read.

    Attributes:
        now: time of the read, in epoch seconds.
        sees_changes: True if changes since the read before were seen.
        had_ended: True if the job had ended at the read before.
    """

    now: float
    sees_changes: bool
    had_ended: bool = False


def make_read_time(
    now: float,
    seen_since: float | None,
    *,
    max_gap_s: float = MAX_UNSEEN_S,
    had_ended: bool = False,
) -> ReadTime:
    """Return the time of a read.

    Args:
        now: time of the read, in epoch seconds.
        seen_since: time of the read before it, or of the job's submission; None if unknown. It is
            later than `now` if the clock was set back.
        max_gap_s: longest time between the two in which no change goes unseen, in seconds.
        had_ended: True if the job had ended at the read before.
    """
    sees_changes = seen_since is not None and -MAX_UNSEEN_S <= now - seen_since <= max_gap_s
    return ReadTime(now, sees_changes, had_ended)


class SeenPeriod:
    """Period since the last read in which no change of a job goes unseen. Times are loop times.

    A scheduled read follows the one before as soon as the schedule and the other jobs allow it. A
    job that is not read on a schedule is unchanged until the roster has another entry of it.
    """

    def __init__(self) -> None:
        # None before the first read, and after a failure.
        self._read_at: float | None = None
        # Time of the last roster before a new entry; None without one.
        self._unchanged_at: float | None = None

    def on_read(self, at: float) -> None:
        """Begin with a read that has succeeded."""
        self._read_at, self._unchanged_at = at, None

    def on_failure(self) -> None:
        """End with a read that has failed."""
        self._read_at = None

    def on_new_entry(self, unchanged_at: float | None) -> None:
        """Handle a new entry of the job, and the time of the roster before it, if known."""
        if self._unchanged_at is None:
            self._unchanged_at = unchanged_at

    def max_gap_s(self, *, read_began_at: float, roster_at: float, is_scheduled: bool) -> float:
        """Return the longest time between the last read and the next one without unseen changes.

        Args:
            read_began_at: time at which the next read began.
            roster_at: time of the last roster.
            is_scheduled: True if the job is read on a schedule.
        """
        if self._read_at is None:
            return MAX_UNSEEN_S
        until = read_began_at if is_scheduled else (self._unchanged_at or roster_at)
        return MAX_UNSEEN_S + max(0.0, until - self._read_at)
