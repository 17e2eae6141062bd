"""When a watched job is looked at again although nothing said that it changed.

A checkpoint changes in ways that neither an event nor the roster announces: a sheet is dispatched
two seconds after the one before it was completed. And while roster and checkpoint disagree, one of
them is about to change. Pure: it must not know how one looks.
"""

from marianne_stream.models import JobState

# The longest delay between two looks that nothing asked for.
CAP_S = 30.0

# A running job with sheets to do and none at work is looked at on every tick for so long, and so
# many times: a dispatch was seen to come two seconds after a completion.
EAGER_S = 5.0
EAGER_LOOKS = 3

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
        self.delay_s: float | None = None

    def saw(
        self, state: JobState, *, changed: bool, interval_s: float, instead: bool = False
    ) -> None:
        """A look has shown a state.

        Args:
            state: what was seen.
            changed: whether a viewer sees a difference.
            interval_s: the shortest poll interval that a viewer of the job asked for.
            instead: whether it was read from disk although the conductor is there: what that says
                of this job cannot be used.
        """
        self._failures = 0
        self._quiet = 0 if changed else self._quiet + 1
        if not state.settled and state.terminal:
            self.delay_s = growing(FIRST_RETRY_S, self._quiet)
        elif instead:
            self.delay_s = growing(FIRST_FAILURE_S, self._quiet)
        elif state.status != "running":
            self.delay_s = None
        elif not state.live:
            # Nothing tells of a change on disk, and there is no conductor to disturb.
            self.delay_s = interval_s
        else:
            self.delay_s = self._running_delay_s(state, interval_s)

    def expect(self, state: JobState, *, within_s: float) -> None:
        """Something suggests that the next sheet has been dispatched.

        Args:
            state: what was last seen.
            within_s: when to look, in seconds after the last look.
        """
        if self.delay_s is not None and between_sheets(state):
            self.delay_s = min(self.delay_s, within_s)

    def failed(self) -> None:
        """A look has shown nothing: the state cannot be read."""
        self.delay_s = growing(FIRST_FAILURE_S, self._failures)
        self._failures += 1

    def missed(self) -> None:
        """A look has found no such job, for the first time."""
        self.delay_s = CONFIRM_S

    def _running_delay_s(self, state: JobState, interval_s: float) -> float:
        eager_looks = max(EAGER_LOOKS, EAGER_S / interval_s) if between_sheets(state) else 0
        return growing(interval_s, max(0, self._quiet - int(eager_looks)))


def growing(first_s: float, times: int) -> float:
    """A delay that has doubled so many times, up to the cap."""
    return min(CAP_S, first_s * 2.0 ** min(times, 10))


def between_sheets(state: JobState) -> bool:
    """Whether a job runs, has sheets to do, and none at work: a dispatch is what comes next."""
    return (
        state.status == "running"
        and not state.at_work
        and state.completed_sheets < state.total_sheets
    )
