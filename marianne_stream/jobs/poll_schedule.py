"""Poll schedule of a watched job: the delay until its state is read without a hint.

The roster shows every change of status and count, and events report some. Other changes are found
by polling: a sheet is dispatched 2 s after the previous one was completed, and retries and
parallel sheets change nothing in the roster.
"""

from marianne_stream.models import JobState

# The next sheet is dispatched just after a change.
AFTER_CHANGE_DELAY_S = 0.2

# Between two sheets of a running job, and while a sheet is active.
BETWEEN_SHEETS_DELAY_S = 0.25
ACTIVE_DELAY_S = 2.0

# The conductor rests this many times as long as its last answer took.
REST_FACTOR = 20.0

# The first delay while roster and checkpoint disagree, and after a read that failed; both double.
FIRST_CONFLICT_DELAY_S = 0.1
FIRST_FAILURE_DELAY_S = 1.0
MAX_DELAY_S = 30.0

# A job counts as deleted after two reads this far apart have not found it: a conductor that starts
# finds none of its jobs.
CONFIRM_MISSING_S = 1.0


class PollSchedule:
    """Schedules the next read by the results of the previous ones.

    Attributes:
        delay_s: delay of the next read after the last one, in seconds; None for never.
    """

    def __init__(self) -> None:
        self._unchanged_reads = 0
        self._failures = 0
        self.delay_s: float | None = None

    def on_state(
        self, state: JobState, *, changed: bool, interval_s: float, from_fallback: bool = False
    ) -> None:
        """Schedule the next read after a state was read.

        Args:
            state: the state.
            changed: True if it differs from the previous one.
            interval_s: shortest poll interval of the job's clients, in seconds; it applies to
                state from disk.
            from_fallback: True if the state was read from disk although the conductor answers:
                its answer about this job is invalid.
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
            # Changes on disk are not announced, and polling disturbs no conductor.
            self.delay_s = interval_s
        else:
            self.delay_s = max(running_delay_s(state, changed=changed), REST_FACTOR * state.cost_s)

    def on_error(self) -> None:
        """Schedule the next read after a failure."""
        self.delay_s = exponential_delay_s(FIRST_FAILURE_DELAY_S, self._failures)
        self._failures += 1

    def on_missing(self) -> None:
        """Schedule the read that confirms that the job is gone."""
        self.delay_s = CONFIRM_MISSING_S


def running_delay_s(state: JobState, *, changed: bool) -> float:
    """Return the delay for a running job that the conductor reports, in seconds."""
    if changed:
        return AFTER_CHANGE_DELAY_S
    return BETWEEN_SHEETS_DELAY_S if is_between_sheets(state) else ACTIVE_DELAY_S


def exponential_delay_s(first_s: float, doublings: int) -> float:
    """Return a delay after so many doublings, up to the limit."""
    return min(MAX_DELAY_S, first_s * 2.0 ** min(doublings, 10))


def is_between_sheets(state: JobState) -> bool:
    """Return True if a running job has sheets left and none is active."""
    return not state.has_active_sheet and state.completed_sheets < state.total_sheets
