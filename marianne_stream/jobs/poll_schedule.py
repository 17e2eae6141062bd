"""Poll schedule of a watched job: when its state is read again without a reason from outside.

The roster tells of every change of status and count, and events of some. What neither tells is
found by reading the job again: a sheet is dispatched 2 s after the one before it was completed,
retries and parallel sheets change nothing in the roster.
"""

from marianne_stream.models import JobState

# The next sheet is dispatched just after a change.
AFTER_CHANGE_DELAY_S = 0.2

# Between two sheets of a running job, and while a sheet is at work.
BETWEEN_SHEETS_DELAY_S = 0.25
ACTIVE_DELAY_S = 2.0

# The conductor rests this many times as long as its last answer took.
REST_FACTOR = 20.0

# The first delay while roster and checkpoint disagree, and after a read that failed; both double.
FIRST_CONFLICT_DELAY_S = 0.1
FIRST_FAILURE_DELAY_S = 1.0
MAX_DELAY_S = 30.0

# That a job is gone is believed when it is said twice, so long apart: a conductor that starts says
# it of all its jobs.
CONFIRM_MISSING_S = 1.0


class PollSchedule:
    """Counts the reads that showed nothing new, and says when the next is due.

    Attributes:
        delay_s: how long after the last read the next is due, in seconds; None for never.
    """

    def __init__(self) -> None:
        self._unchanged_reads = 0
        self._failures = 0
        self.delay_s: float | None = None

    def on_state(
        self, state: JobState, *, changed: bool, interval_s: float, from_fallback: bool = False
    ) -> None:
        """Note that a read has shown a state.

        Args:
            state: what was read.
            changed: True if it differs from the one before.
            interval_s: the shortest poll interval that a viewer of the job asked for, in seconds;
                it applies to state that is read from disk.
            from_fallback: True if it was read from disk although the conductor answers: what that
                says of this job cannot be used.
        """
        self._failures = 0
        self._unchanged_reads = 0 if changed else self._unchanged_reads + 1
        if not state.is_consistent and state.is_terminal:
            self.delay_s = exponential_delay_s(FIRST_CONFLICT_DELAY_S, self._unchanged_reads)
        elif from_fallback:
            self.delay_s = exponential_delay_s(FIRST_FAILURE_DELAY_S, self._unchanged_reads)
        elif state.status != "running":
            self.delay_s = None
        elif not state.live:
            # Nothing tells of a change on disk, and there is no conductor to disturb.
            self.delay_s = interval_s
        else:
            self.delay_s = max(running_delay_s(state, changed=changed), REST_FACTOR * state.cost_s)

    def on_error(self) -> None:
        """Note that the state could not be read."""
        self.delay_s = exponential_delay_s(FIRST_FAILURE_DELAY_S, self._failures)
        self._failures += 1

    def on_missing(self) -> None:
        """Note that a read has found no such job, for the first time."""
        self.delay_s = CONFIRM_MISSING_S


def running_delay_s(state: JobState, *, changed: bool) -> float:
    """Return the delay for a running job that the conductor tells of, in seconds."""
    if changed:
        return AFTER_CHANGE_DELAY_S
    return BETWEEN_SHEETS_DELAY_S if is_between_sheets(state) else ACTIVE_DELAY_S


def exponential_delay_s(first_s: float, doublings: int) -> float:
    """Return a delay that has doubled so many times, up to the cap."""
    return min(MAX_DELAY_S, first_s * 2.0 ** min(doublings, 10))


def is_between_sheets(state: JobState) -> bool:
    """Return True if a running job has sheets to do, and none at work."""
    return not state.has_active_sheet and state.completed_sheets < state.total_sheets
