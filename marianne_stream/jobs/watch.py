"""One watched job: a queue of hints, a task that reads its state, and a topic of its views.

Only this task reads the job's state, however many watch it. It must not know who they are.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, replace

from marianne_stream.errors import JobNotFoundError, MarianneStreamError, StateUnavailableError
from marianne_stream.fanout.mailboxes import LatestMailbox
from marianne_stream.fanout.topic import Topic
from marianne_stream.jobs.poll_schedule import PollSchedule
from marianne_stream.jobs.progress import ProgressTimes, has_progressed
from marianne_stream.jobs.roster import RosterTimer
from marianne_stream.jobs.turns import Turns
from marianne_stream.jobs.views import End, JobView
from marianne_stream.models import JobState, MonitorEvent, RosterEntry, same_time
from marianne_stream.state.checkpoint import epoch_s, without_work
from marianne_stream.state.source import StateSource

logger = logging.getLogger(__name__)

# So many hints of a kind say what one more would say.
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
    """Watches one job, from `run` until that is cancelled, or the job is over or gone.

    Args:
        job_id: the job.
        source: who is asked for its state.
        roster: the timer that knows its entry.
        turns: what all watches share: one looks at a time.
        progress: where changes of the job are noted.

    Attributes:
        topic: where views are published.
        view: the newest view, None before the first.
    """

    def __init__(
        self,
        job_id: str,
        *,
        source: StateSource,
        roster: RosterTimer,
        turns: Turns,
        progress: ProgressTimes,
    ) -> None:
        self.job_id = job_id
        self.topic: Topic[JobView] = Topic()
        self.view: JobView | None = None
        self._source = source
        self._roster = roster
        self._turns = turns
        self._progress = progress
        self._hints: asyncio.Queue[Hint] = asyncio.Queue()
        # Set when the hints of this moment have been heard, and the look had that they call for.
        self._heard = asyncio.Event()
        self._schedule = PollSchedule()
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

    def join(self, mailbox: LatestMailbox[JobView], interval_s: float) -> None:
        """Subscribes a viewer, before anything is asked for it."""
        self._intervals[interval_s] += 1
        self.topic.subscribe(mailbox)

    def leave(self, mailbox: LatestMailbox[JobView], interval_s: float) -> None:
        """Forgets a viewer."""
        self.topic.unsubscribe(mailbox)
        self._intervals[interval_s] -= 1
        if not self._intervals[interval_s]:
            del self._intervals[interval_s]

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

    async def current(self) -> JobView:
        """The newest view, after a look if the roster says that it is out of date.

        Raises: as `opened` does. Cancelling is safe.
        """
        await self.opened()
        await self._roster.fresh(FIRST_ROSTER_AGE_S)
        entry = self._roster.entry(self.job_id)
        if self._is_news(entry):
            heard = self._heard
            self.hint(RosterMark(entry, source_changed=False))
            await heard.wait()
        return await self.opened()

    def hint(self, hint: Hint) -> None:
        """Something may have changed; events that announce no change of the job are ignored."""
        if isinstance(hint, MonitorEvent) and not hint.announces_change:
            return
        # A full queue is reason enough to look.
        if self._hints.qsize() < QUEUED_HINTS:
            self._hints.put_nowait(hint)

    async def run(self) -> None:
        """Looks, publishes what is new, and looks again when there is reason to.

        Returns when the job is over or gone, or when the first look failed: `opened` raises what
        that raised. However it ends, nobody is left waiting.
        """
        try:
            await self._first_look()
            # An end is the end: the next viewer begins a watch of its own, and is told what is.
            while self.view is None or not self.view.end:
                await self._look_again(await self._reason_to_look())
        except MarianneStreamError as error:
            self._fail_opening(error)
        except asyncio.CancelledError:
            self._fail_opening(StateUnavailableError("the job is watched no more"))
            raise
        finally:
            self._heard.set()

    def fault(self, error: BaseException) -> None:
        """The task has failed: whoever watches is told, and nobody is left waiting."""
        self._fail_opening(MarianneStreamError(f"watching {self.job_id!r} failed: {error!r}"))
        if self.view is not None:
            self._publish(self.view.state, end="fault")

    def _fail_opening(self, error: MarianneStreamError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            # Nobody may be left to hear of it.
            self._opened.exception()

    async def _first_look(self) -> None:
        """Reads the state for those who wait for it; raises what that raises."""
        began = asyncio.get_running_loop().time()
        await self._roster.fresh(FIRST_ROSTER_AGE_S)
        # What was hinted until now, the first look shows.
        self._hints = asyncio.Queue()
        await self._look(began, asked=True)
        self._opened.set_result(None)

    async def _look_again(self, hints: list[Hint]) -> None:
        """Reads the state because of these hints, or of the clock where there are none."""
        began = asyncio.get_running_loop().time()
        heard, self._heard = self._heard, asyncio.Event()
        try:
            if any(isinstance(hint, MonitorEvent) and hint.of_whole_job for hint in hints):
                # The roster is right about the status, so it is asked before the rest.
                await self._roster.fresh()
            await self._look(began, asked=bool(hints))
        except JobNotFoundError:
            self._miss()
        except StateUnavailableError as error:
            self._lose_sight(error)
        finally:
            heard.set()

    async def _reason_to_look(self) -> list[Hint]:
        """Waits until hints call for a look, and returns them; none when the clock does."""
        while True:
            delay_s = self._schedule.delay_s
            due_at = None if delay_s is None else self._looked_at + delay_s
            try:
                async with asyncio.timeout_at(due_at):
                    hints = [await self._hints.get()]
            except TimeoutError:
                if (wait_s := self._turns.unasked_delay_s) <= 0:
                    return []
                # Those whom somebody asked go first.
                self._schedule.delay_s = self._elapsed_s() + wait_s
                continue
            while not self._hints.empty():
                hints.append(self._hints.get_nowait())
            if any(map(self._calls_for_look, hints)):
                return hints
            self._heard.set()
            self._heard = asyncio.Event()

    def _calls_for_look(self, hint: Hint) -> bool:
        if isinstance(hint, RosterMark):
            return hint.source_changed or self._is_news(hint.entry)
        return True

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
        if entry.terminal and entry.error_message not in (None, shown.error_message):
            return True
        return entry.status != shown.status or not entry.same_run(self._entry)

    async def _look(self, began: float, *, asked: bool) -> None:
        """Reads the state, and publishes what is new.

        Args:
            began: since when, by the loop's clock, the roster must have been asked to be believed
                that the job is over.
            asked: whether a hint or a viewer asked for the look.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        state = await self._read(asked=asked)
        if not state.settled or (state.final and self._roster.newest_at < began):
            state = await self._with_fresh_entry(state)
        self._missing = False
        self._looked_at = asyncio.get_running_loop().time()
        state = without_work(self._believed(self._never_older(state)))
        changed = self._publish(state, end="finished" if state.final else "")
        interval_s = min(self._intervals, default=FIRST_ROSTER_AGE_S)
        roster = self._roster.newest
        self._schedule.saw(
            state,
            changed=changed,
            interval_s=interval_s,
            fallback=not state.live and roster is not None and roster.live,
        )

    async def _read(self, *, asked: bool) -> JobState:
        async with self._turns.turn(asked=asked):
            self._entry = self._roster.entry(self.job_id)
            return await self._source.job(self.job_id, self._entry)

    async def _with_fresh_entry(self, state: JobState) -> JobState:
        """A state with an entry of the roster that is no older than its checkpoint."""
        try:
            roster = await self._roster.fresh()
        except StateUnavailableError:
            return state
        entry, known = roster.entries.get(self.job_id), self._entry
        if entry is None or roster.source != state.source:
            return state
        if known is None or entry.submitted_at != known.submitted_at:
            # It was submitted again meanwhile: the checkpoint may say nothing of that run.
            return await self._read(asked=True)
        self._entry = entry
        return replace(state, status=entry.status)

    def _never_older(self, state: JobState) -> JobState:
        """A state that does not take back what was told of the same submission.

        What is on disk may be older than what the conductor has said, and a conductor that refuses
        to give a checkpoint has not taken it back.
        """
        if self.view is None:
            return state
        known = self.view.state
        same_run = known.run == state.run
        if known.sheets and not state.sheets and same_submission(known, state):
            older = True
        else:
            older = not state.live and same_run and written_s(state) < written_s(known)
        if older:
            return replace(
                known,
                status=state.status,
                checkpoint_status=state.checkpoint_status,
                source=state.source,
                live=state.live,
            )
        if same_run and known.terminal and state.terminal and known.completed_at:
            # The end that was told first: a conductor that stops writes another over it.
            return replace(state, completed_at=known.completed_at)
        return state

    def _believed(self, state: JobState) -> JobState:
        """A state with the roster's word for it, once the checkpoint has long said otherwise."""
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
        before = self.view
        if before is not None and before.source != "none" and has_progressed(before.state, state):
            self._progress.note(self.job_id)
        roster = self._roster.newest
        live = state.live and not known_only
        view = self.view = JobView(
            state,
            source="none" if known_only else state.source,
            live=live,
            end=end,
            detail=roster.detail if roster is not None and not live else "",
            last_progress_at=self._progress.of(self.job_id),
        )
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
        """Viewers keep the last known state, and are told that it is no more than that."""
        logger.debug("job %r cannot be read: %s", self.job_id, error)
        self._looked_at = asyncio.get_running_loop().time()
        if self.view is not None:
            self._publish(self.view.state, known_only=True)
        self._schedule.failed()


def written_s(state: JobState) -> float:
    """When a state was written, in epoch seconds; 0 where that is not known."""
    return epoch_s(state.updated_at) or 0.0


def same_submission(one: JobState, other: JobState) -> bool:
    """Whether two states are of the same submission, whichever source they come from."""
    return same_time(epoch_s(one.submitted_at), epoch_s(other.submitted_at))
