"""One watched job: a queue of hints, a task that reads its state, and a topic of its views.

Only this task reads the job's state, however many watch it. It must not know who they are.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from marianne_stream.errors import JobNotFoundError, MarianneStreamError, StateUnavailableError
from marianne_stream.fanout.mailboxes import LatestMailbox
from marianne_stream.fanout.topic import Topic
from marianne_stream.jobs.looks import LookSchedule
from marianne_stream.jobs.pace import Pace
from marianne_stream.jobs.roster import RosterTimer
from marianne_stream.jobs.views import End, JobView
from marianne_stream.models import JobState, MonitorEvent, RosterEntry
from marianne_stream.state.checkpoint import epoch_s
from marianne_stream.state.source import StateSource

logger = logging.getLogger(__name__)

# The observer's events come in bursts, within some milliseconds: one roster serves the whole burst.
BURST_S = 0.025

# A hint is as good as the ones before it, so a full queue loses nothing.
QUEUED_HINTS = 1000

# Roster and checkpoint that disagree for so long, unchanged, will not agree any more: the roster is
# right. A job that was cancelled before a restart has a checkpoint that says running for ever.
DISAGREEMENT_S = 10.0

# A roster as young as this is good enough for a viewer who has just come.
FIRST_ROSTER_AGE_S = 1.0


@dataclass(frozen=True, slots=True)
class RosterMark:
    """A hint: the roster says something new of the job, or comes from elsewhere."""

    entry: RosterEntry | None
    source_changed: bool


Hint = MonitorEvent | RosterMark


class JobWatch:
    """Watches one job, from `run` until that is cancelled or the job is gone.

    Args:
        job_id: the job.
        source: who is asked for its state.
        roster: the timer that knows its entry.
        pace: the turns that all watches share.

    Attributes:
        topic: where views are published.
        view: the newest view, None before the first.
    """

    def __init__(
        self, job_id: str, *, source: StateSource, roster: RosterTimer, pace: Pace
    ) -> None:
        self.job_id = job_id
        self.topic: Topic[JobView] = Topic()
        self.view: JobView | None = None
        self._source = source
        self._roster = roster
        self._pace = pace
        self._hints: asyncio.Queue[Hint] = asyncio.Queue(QUEUED_HINTS)
        self._schedule = LookSchedule()
        self._intervals: Counter[float] = Counter()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # What the roster said when the state was last read.
        self._entry: RosterEntry | None = None
        self._looked_at = 0.0
        self._missing = False
        self._disagreed_at: float | None = None

    @property
    def watched(self) -> bool:
        """Whether anybody still watches."""
        return bool(self._intervals)

    @contextmanager
    def joined(self, interval_s: float) -> Iterator[LatestMailbox[JobView]]:
        """Subscribes a viewer for as long as the context lasts, before anything is asked for it."""
        mailbox: LatestMailbox[JobView] = LatestMailbox()
        self._intervals[interval_s] += 1
        try:
            with self.topic.subscribed(mailbox):
                yield mailbox
        finally:
            self._intervals[interval_s] -= 1
            self._intervals += Counter()

    async def opened(self) -> JobView:
        """The newest view, or the first as soon as there is one. Cancelling is safe.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        await asyncio.shield(self._opened)
        if self.view is None or self.view.end == "deleted":
            raise JobNotFoundError(self.job_id)
        return self.view

    def hint(self, hint: Hint) -> None:
        """Something may have changed."""
        if not self._hints.full():
            self._hints.put_nowait(hint)

    async def run(self) -> None:
        """Looks, publishes what is new, and looks again when there is reason to.

        Returns when the job is gone, or when the first look failed: `opened` raises what that
        raised.
        """
        try:
            await self._roster.fresh(FIRST_ROSTER_AGE_S)
            # What was hinted until now, the first look shows.
            self._hints = asyncio.Queue(QUEUED_HINTS)
            await self._look()
        except MarianneStreamError as error:
            self._fail_opening(error)
            return
        self._opened.set_result(None)
        while self.view is None or self.view.end != "deleted":
            hints = await self._reason_to_look()
            try:
                if any(isinstance(hint, MonitorEvent) and hint.of_whole_job for hint in hints):
                    # The roster is right about the status, so it is asked before the rest.
                    await self._roster.fresh()
                await self._look()
            except JobNotFoundError:
                self._miss()
            except StateUnavailableError as error:
                self._lose_sight(error)

    def fault(self, error: BaseException) -> None:
        """The task has failed: whoever watches is told, and nobody is left waiting."""
        if not self._opened.done():
            self._fail_opening(MarianneStreamError(f"watching {self.job_id!r} failed: {error!r}"))
        elif self.view is not None:
            self._publish(self.view.state, end="fault")

    def _fail_opening(self, error: MarianneStreamError) -> None:
        self._opened.set_exception(error)
        # Nobody may be left to hear of it.
        self._opened.exception()

    async def _reason_to_look(self) -> list[Hint]:
        """Waits until hints call for a look, and returns them; none when the clock does."""
        while True:
            delay_s = self._schedule.delay_s
            try:
                async with asyncio.timeout_at(
                    self._looked_at + delay_s if delay_s is not None else None
                ):
                    hints = [await self._hints.get()]
            except TimeoutError:
                return []
            while not self._hints.empty():
                hints.append(self._hints.get_nowait())
            # All of them are asked: one that calls for no look may still bring the roster forward.
            if sum(map(self._calls_for_look, hints)):
                return hints
            # So many hints that call for nothing must not keep the clock from being heard.
            if delay_s is not None and self._elapsed_s() >= delay_s:
                return []

    def _calls_for_look(self, hint: Hint) -> bool:
        """Whether a hint calls for a look; one that says less brings the roster forward."""
        if isinstance(hint, RosterMark):
            return hint.source_changed or self._is_news(hint.entry)
        if not hint.announces_change:
            self._roster.bring_forward(BURST_S)
            if hint.event == "observer.process_spawned" and self.view is not None:
                # Between two sheets, that is what a dispatch looks like; nothing else tells of it.
                self._schedule.expect(self.view.state, within_s=self._elapsed_s() + BURST_S)
        return hint.announces_change

    def _elapsed_s(self) -> float:
        """How long ago the last look was."""
        return asyncio.get_running_loop().time() - self._looked_at

    def _is_news(self, entry: RosterEntry | None) -> bool:
        """Whether an entry of the roster says something that the newest view does not show yet."""
        if entry is None or self._entry is None or self.view is None:
            return entry is not self._entry
        shown = self.view.state
        if entry.completed_sheets not in (None, shown.completed_sheets):
            return True
        seen = (shown.status, self._entry.submitted_at, self._entry.started_at)
        return (entry.status, entry.submitted_at, entry.started_at) != seen

    async def _look(self) -> None:
        """Reads the state, and publishes what is new.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        async with self._pace.turn():
            self._entry = self._roster.entry(self.job_id)
            state = await self._source.job(self.job_id, self._entry)
        took_s = self._pace.last_s
        if not state.settled:
            state = await self._with_fresh_entry(state)
        self._missing = False
        self._looked_at = asyncio.get_running_loop().time()
        state = self._believed(self._never_older(state))
        changed = self._publish(state, end="finished" if state.final else "")
        interval_s = min(self._intervals, default=FIRST_ROSTER_AGE_S)
        self._schedule.saw(state, changed=changed, interval_s=interval_s, took_s=took_s)

    async def _with_fresh_entry(self, state: JobState) -> JobState:
        """A state whose checkpoint and entry disagree, with an entry that is no older than it."""
        try:
            roster = await self._roster.fresh()
        except StateUnavailableError:
            return state
        entry = roster.entries.get(self.job_id)
        if entry is None or roster.source != state.source:
            return state
        self._entry = entry
        return replace(state, status=entry.status)

    def _never_older(self, state: JobState) -> JobState:
        """A state that what is on disk does not take back behind what the conductor has told."""
        if self.view is None or state.live:
            return state
        known = self.view.state
        if known.sheets and not state.sheets and same_submission(known, state):
            older = True
        else:
            older = known.run == state.run and written_s(state) < written_s(known)
        if not older:
            return state
        return replace(
            known,
            status=state.status,
            checkpoint_status=state.checkpoint_status,
            source=state.source,
            live=False,
        )

    def _believed(self, state: JobState) -> JobState:
        """A state that is not settled, as settled once it has been so for long:

        the roster is right.
        """
        if state.settled or not state.terminal:
            self._disagreed_at = None
            return state
        now = asyncio.get_running_loop().time()
        if self._disagreed_at is None:
            self._disagreed_at = now
        if now - self._disagreed_at < DISAGREEMENT_S:
            return state
        return replace(state, checkpoint_status=state.status)

    def _publish(self, state: JobState, *, end: End = "", known_only: bool = False) -> bool:
        """Makes a state the newest view, and says whether a viewer sees a difference in the job."""
        view = JobView(
            state,
            source="none" if known_only else state.source,
            live=state.live and not known_only,
            end=end,
        )
        before, self.view = self.view, view
        if before is None or not view.same(before):
            self.topic.publish(view)
        return before is None or not view.same_state(before)

    def _miss(self) -> None:
        """The job was not found: believed when it is said again."""
        self._looked_at = asyncio.get_running_loop().time()
        if self._missing and self.view is not None:
            self._publish(self.view.state, end="deleted")
        self._missing = True
        self._schedule.missed()

    def _lose_sight(self, error: StateUnavailableError) -> None:
        """Nobody could be asked:

        viewers keep the last known state, and are told that it is no more than that.
        """
        logger.debug("job %r cannot be read: %s", self.job_id, error)
        self._looked_at = asyncio.get_running_loop().time()
        if self.view is not None:
            self._publish(self.view.state, known_only=True)
        self._schedule.failed()


def written_s(state: JobState) -> float:
    """When a state was written, in epoch seconds; 0 where that is not known."""
    return epoch_s(state.updated_at) or 0.0


def same_submission(one: JobState, other: JobState) -> bool:
    """Whether two states are of the same submission:

    the conductor and its registry give times a little apart.
    """
    return abs((epoch_s(one.submitted_at) or 0.0) - (epoch_s(other.submitted_at) or 0.0)) < 0.1
