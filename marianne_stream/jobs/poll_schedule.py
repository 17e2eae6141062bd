"""Poll schedule of a watched job: the delay until its state is read without a hint.

The roster shows every change of status and count, and events report some. Other changes are found
by polling: a sheet is dispatched 2 s after the previous one was completed, and retries and
parallel sheets change nothing in the roster.
"""

from marianne_stream.common.backoff import Backoff
from marianne_stream.common.intervals import RELAXED_INTERVAL_S
from marianne_stream.models import JobState

# The next sheet is dispatched just after a change.
AFTER_CHANGE_DELAY_S = 0.2

# Between two sheets of a running job, and while a sheet is active.
BETWEEN_SHEETS_DELAY_S = 0.25
ACTIVE_DELAY_S = 2.0

# The same while all clients have relaxed intervals, after a change as well. The next sheet has been
# dispatched by the first of these reads.
RELAXED_BETWEEN_SHEETS_DELAY_S = 2.5
RELAXED_ACTIVE_DELAY_S = 10.0

# The conductor rests this many times as long as its last answer took.
REST_FACTOR = 20.0

# First delays while roster and checkpoint differ, while only the fallback can be read, and after a
# failed read; they double.
FIRST_CONFLICT_DELAY_S = 0.1
FIRST_FALLBACK_DELAY_S = 2.0
FIRST_FAILURE_DELAY_S = 1.0
MAX_DELAY_S = 30.0

# A job counts as deleted after two reads this far apart have not found it: a conductor that starts
# finds none of its jobs.
CONFIRM_MISSING_S = 1.0


class PollSchedule:
    """Schedules the next read by the results of the previous ones.

    `delay_s` counts from the last read; None for never.
    """

    def __init__(self) -> None:
        self._conflict_backoff = make_backoff(FIRST_CONFLICT_DELAY_S)
        self._fallback_backoff = make_backoff(FIRST_FALLBACK_DELAY_S)
        self._failure_backoff = make_backoff(FIRST_FAILURE_DELAY_S)
        self.delay_s: float | None = None

    def on_state(
        self,
        state: JobState,
        *,
        changed: bool,
        interval_s: float,
        from_fallback: bool = False,
        is_behind: bool = False,
    ) -> None:
        """Schedule the next read after a state was read.

        `interval_s` is the shortest poll interval of the job's clients: it applies to state from
        disk, and a relaxed one to all. `from_fallback` means that the state was read from disk
        although the conductor answers: its answer about this job is invalid. `is_behind` means that
        the roster shows a change that the state does not have yet.
        """
        self._failure_backoff.reset()
        if changed:
            self._conflict_backoff.reset()
            self._fallback_backoff.reset()
        if not state.is_consistent and state.is_terminal:
            self.delay_s = self._conflict_backoff.next_delay_s()
        elif from_fallback:
            self.delay_s = self._fallback_backoff.next_delay_s()
        elif state.status != "running":
            self.delay_s = None
        elif not state.live:
            # Changes on disk are not announced, and polling disturbs no conductor.
            self.delay_s = interval_s
        else:
            delay_s = running_delay_s(state, changed=changed, interval_s=interval_s)
            if is_behind:
                delay_s = min(delay_s, self._conflict_backoff.next_delay_s())
            self.delay_s = max(delay_s, REST_FACTOR * state.cost_s)

    def on_error(self) -> None:
        """Schedule the next read after a failure."""
        self.delay_s = self._failure_backoff.next_delay_s()

    def on_missing(self) -> None:
        """Schedule the read that confirms that the job is gone."""
        self.delay_s = CONFIRM_MISSING_S


def running_delay_s(state: JobState, *, changed: bool, interval_s: float) -> float:
    """Return the delay for a running job that the conductor reports, in seconds."""
    is_between_sheets = not state.has_active_sheet and state.completed_sheets < state.total_sheets
    if interval_s >= RELAXED_INTERVAL_S:
        return RELAXED_BETWEEN_SHEETS_DELAY_S if is_between_sheets else RELAXED_ACTIVE_DELAY_S
    if changed:
        return AFTER_CHANGE_DELAY_S
    return BETWEEN_SHEETS_DELAY_S if is_between_sheets else ACTIVE_DELAY_S


def make_backoff(first_s: float) -> Backoff:
    """Return a backoff of reads: without jitter, since this server is the only reader."""
    return Backoff(first_s=first_s, cap_s=MAX_DELAY_S, jitter=0.0)
