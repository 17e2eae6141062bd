"""When a watched job is looked at again although nothing said that it changed.

A checkpoint changes in ways that neither an event nor the roster announces: a sheet is dispatched
two seconds after the one before it was completed. And while roster and checkpoint disagree, one of
them is about to change. Pure: it must not know how one looks.
"""

from marianne_stream.models import JobState

# The longest delay between two looks that nothing asked for.
CAP_S = 30.0

# A running job with sheets to do and none at work is looked at on every tick, for so many ticks.
EAGER_LOOKS = 10

# Nothing asked for such a look, so it may cost the conductor a fiftieth of its time at most.
REST_FACTOR = 50.0

# The first delay while roster and checkpoint disagree, and after a look that failed.
FIRST_RETRY_S = 0.1
FIRST_FAILURE_S = 1.0

# That a job is gone is believed when it is said twice, so long apart: a conductor that starts says
# it of all its jobs.
CONFIRM_S = 1.0


class LookSchedule:
    """Counts the looks that showed nothing new, and says when the next is due.

    Attributes:
        delay_s: how long after the last look the next is due; None while only a hint calls for one.
    """

    def __init__(self) -> None:
        self._quiet = 0
        self._failures = 0
        self._least_s = 0.0
        self.delay_s: float | None = None

    def saw(self, state: JobState, *, changed: bool, interval_s: float, took_s: float) -> None:
        """A look has shown a state.

        Args:
            state: what was seen.
            changed: whether a viewer sees a difference.
            interval_s: the shortest poll interval that a viewer of the job asked for.
            took_s: what the look took.
        """
        self._failures = 0
        self._quiet = 0 if changed else self._quiet + 1
        if not state.settled and state.terminal:
            self.delay_s = min(CAP_S, FIRST_RETRY_S * 2 ** min(self._quiet, 10))
        elif state.status == "running" and state.live:
            self._least_s = REST_FACTOR * took_s
            self.delay_s = max(self._running_delay_s(state, interval_s), self._least_s)
        else:
            self.delay_s = None

    def expect(self, state: JobState, *, within_s: float) -> None:
        """Something suggests that the next sheet has been dispatched.

        Args:
            state: what was last seen.
            within_s: when to look, in seconds after the last look.
        """
        if self.delay_s is not None and between_sheets(state):
            self.delay_s = min(self.delay_s, max(within_s, self._least_s))

    def failed(self) -> None:
        """A look has shown nothing: the state cannot be read."""
        self.delay_s = min(CAP_S, FIRST_FAILURE_S * 2 ** min(self._failures, 10))
        self._failures += 1

    def missed(self) -> None:
        """A look has found no such job, for the first time."""
        self.delay_s = CONFIRM_S

    def _running_delay_s(self, state: JobState, interval_s: float) -> float:
        if between_sheets(state) and self._quiet < EAGER_LOOKS:
            return interval_s
        return min(CAP_S, interval_s * 2.0 ** min(self._quiet, 10))


def between_sheets(state: JobState) -> bool:
    """Whether a job runs, has sheets to do, and none at work: a dispatch is what comes next."""
    return (
        state.status == "running"
        and not state.at_work
        and state.completed_sheets < state.total_sheets
    )
