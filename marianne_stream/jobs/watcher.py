"""One watched job: a queue of hints, a task that reads its state, and a topic of its views.

Only this task reads the job's state, however many watch it. It must not know who they are.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, replace

from marianne_stream.backends.base import Backend
from marianne_stream.backends.checkpoint import mark_stopped_sheets, to_epoch_s
from marianne_stream.errors import JobNotFoundError, MarianneStreamError, StateUnavailableError
from marianne_stream.fanout.subscriber_queue import LatestQueue
from marianne_stream.fanout.topic import Topic
from marianne_stream.jobs.poll_schedule import PollSchedule
from marianne_stream.jobs.progress import ProgressTimes, has_progressed
from marianne_stream.jobs.read_limiter import StateReadLimiter
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.snapshots import JobSnapshot, SnapshotEnd
from marianne_stream.models import JobState, MonitorEvent, RosterEntry, is_same_time

logger = logging.getLogger(__name__)

# So many hints of a kind say what one more would say.
MAX_QUEUED_HINTS = 1000

# Roster and checkpoint that disagree for so long, unchanged, will not agree any more: the roster is
# right. A job that was cancelled before a restart has a checkpoint that says running for ever.
CONFLICT_TIMEOUT_S = 10.0

# A roster as young as this is good enough for a viewer who has just come.
MAX_FIRST_ROSTER_AGE_S = 1.0


@dataclass(frozen=True, slots=True)
class RosterHint:
    """A hint: the roster says something new of the job, or comes from elsewhere."""

    entry: RosterEntry | None
    source_changed: bool


Hint = MonitorEvent | RosterHint


class JobWatcher:
    """Watches one job, from `run` until that is cancelled, or the job is over or gone.

    Args:
        job_id: the job.
        backend: who is asked for its state.
        roster_poller: the timer that knows its entry.
        read_limiter: what all watches share: one looks at a time.
        progress: where changes of the job are noted.

    Attributes:
        topic: where views are published.
        snapshot: the newest view, None before the first.
    """

    def __init__(
        self,
        job_id: str,
        *,
        backend: Backend,
        roster_poller: RosterPoller,
        read_limiter: StateReadLimiter,
        progress: ProgressTimes,
    ) -> None:
        self.job_id = job_id
        self.topic: Topic[JobSnapshot] = Topic()
        self.snapshot: JobSnapshot | None = None
        self._backend = backend
        self._roster_poller = roster_poller
        self._read_limiter = read_limiter
        self._progress = progress
        self._hints: asyncio.Queue[Hint] = asyncio.Queue()
        # Set when the hints of this moment have been heard, and the look had that they call for.
        self._hints_processed = asyncio.Event()
        self._schedule = PollSchedule()
        self._intervals: Counter[float] = Counter()
        self._first_read: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # What the roster said when the state was last read.
        self._last_entry: RosterEntry | None = None
        self._last_read_at = 0.0
        self._is_missing = False
        self._conflict_since: float | None = None

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody still watches."""
        return bool(self._intervals)

    def subscribe(self, queue: LatestQueue[JobSnapshot], interval_s: float) -> None:
        """Subscribes a viewer, before anything is asked for it."""
        self._intervals[interval_s] += 1
        self.topic.subscribe(queue)

    def unsubscribe(self, queue: LatestQueue[JobSnapshot], interval_s: float) -> None:
        """Forgets a viewer."""
        self.topic.unsubscribe(queue)
        self._intervals[interval_s] -= 1
        if not self._intervals[interval_s]:
            del self._intervals[interval_s]

    async def wait_first_snapshot(self) -> JobSnapshot:
        """The newest view, or the first as soon as there is one. Cancelling is safe.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        await asyncio.shield(self._first_read)
        if self.snapshot is None or self.snapshot.end == "deleted":
            raise JobNotFoundError(self.job_id)
        return self.snapshot

    async def wait_current_snapshot(self) -> JobSnapshot:
        """The newest view, after a look if the roster says that it is out of date.

        Raises: as `opened` does. Cancelling is safe.
        """
        await self.wait_first_snapshot()
        await self._roster_poller.get(MAX_FIRST_ROSTER_AGE_S)
        entry = self._roster_poller.get_entry(self.job_id)
        if self._is_unseen_change(entry):
            heard = self._hints_processed
            self.add_hint(RosterHint(entry, source_changed=False))
            await heard.wait()
        return await self.wait_first_snapshot()

    def add_hint(self, hint: Hint) -> None:
        """Something may have changed; events that announce no change of the job are ignored."""
        if isinstance(hint, MonitorEvent) and not hint.may_change_state:
            return
        # A full queue is reason enough to look.
        if self._hints.qsize() < MAX_QUEUED_HINTS:
            self._hints.put_nowait(hint)

    async def run(self) -> None:
        """Looks, publishes what is new, and looks again when there is reason to.

        Returns when the job is over or gone, or when the first look failed: `opened` raises what
        that raised. However it ends, nobody is left waiting.
        """
        try:
            await self._read_first()
            # An end is the end: the next viewer begins a watch of its own, and is told what is.
            while self.snapshot is None or not self.snapshot.end:
                await self._read_again(await self._wait_for_reason())
        except MarianneStreamError as error:
            self._fail_first_read(error)
        except asyncio.CancelledError:
            self._fail_first_read(StateUnavailableError("the job is watched no more"))
            raise
        finally:
            self._hints_processed.set()

    def fail(self, error: BaseException) -> None:
        """The task has failed: whoever watches is told, and nobody is left waiting."""
        self._fail_first_read(MarianneStreamError(f"watching {self.job_id!r} failed: {error!r}"))
        if self.snapshot is not None:
            self._publish(self.snapshot.state, end="fault")

    def _fail_first_read(self, error: MarianneStreamError) -> None:
        if not self._first_read.done():
            self._first_read.set_exception(error)
            # Nobody may be left to hear of it.
            self._first_read.exception()

    async def _read_first(self) -> None:
        """Reads the state for those who wait for it; raises what that raises."""
        began = asyncio.get_running_loop().time()
        await self._roster_poller.get(MAX_FIRST_ROSTER_AGE_S)
        # What was hinted until now, the first look shows.
        self._hints = asyncio.Queue()
        await self._read_and_publish(began, on_demand=True)
        self._first_read.set_result(None)

    async def _read_again(self, hints: list[Hint]) -> None:
        """Reads the state because of these hints, or of the clock where there are none."""
        began = asyncio.get_running_loop().time()
        heard, self._hints_processed = self._hints_processed, asyncio.Event()
        try:
            if any(isinstance(hint, MonitorEvent) and hint.is_job_level for hint in hints):
                # The roster is right about the status, so it is asked before the rest.
                await self._roster_poller.get()
            await self._read_and_publish(began, on_demand=bool(hints))
        except JobNotFoundError:
            self._on_missing()
        except StateUnavailableError as error:
            self._on_unavailable(error)
        finally:
            heard.set()

    async def _wait_for_reason(self) -> list[Hint]:
        """Waits until hints call for a look, and returns them; none when the clock does."""
        while True:
            delay_s = self._schedule.delay_s
            due_at = None if delay_s is None else self._last_read_at + delay_s
            try:
                async with asyncio.timeout_at(due_at):
                    hints = [await self._hints.get()]
            except TimeoutError:
                if (wait_s := self._read_limiter.background_delay_s) <= 0:
                    return []
                # Those whom somebody asked go first.
                self._schedule.delay_s = self._since_last_read_s() + wait_s
                continue
            while not self._hints.empty():
                hints.append(self._hints.get_nowait())
            if any(map(self._requires_read, hints)):
                return hints
            self._hints_processed.set()
            self._hints_processed = asyncio.Event()

    def _requires_read(self, hint: Hint) -> bool:
        if isinstance(hint, RosterHint):
            return hint.source_changed or self._is_unseen_change(hint.entry)
        return True

    def _since_last_read_s(self) -> float:
        """How long ago the last look was."""
        return asyncio.get_running_loop().time() - self._last_read_at

    def _is_unseen_change(self, entry: RosterEntry | None) -> bool:
        """Whether an entry of the roster says something that the newest view does not show yet."""
        if entry is None or self._last_entry is None or self.snapshot is None:
            return entry is not self._last_entry
        shown = self.snapshot.state
        if entry.completed_sheets not in (None, shown.completed_sheets):
            return True
        if entry.is_terminal and entry.error_message not in (None, shown.error_message):
            return True
        return entry.status != shown.status or not entry.is_same_run(self._last_entry)

    async def _read_and_publish(self, roster_since: float, *, on_demand: bool) -> None:
        """Reads the state, and publishes what is new.

        Args:
            roster_since: since when, by the loop's clock, the roster must have been asked to be
                believed that the job is over.
            on_demand: whether a hint or a viewer asked for the look.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: nobody could be asked.
        """
        state = await self._read_state(on_demand=on_demand)
        if not state.is_consistent or (
            state.is_final and self._roster_poller.latest_requested_at < roster_since
        ):
            state = await self._with_fresh_status(state)
        self._is_missing = False
        self._last_read_at = asyncio.get_running_loop().time()
        state = mark_stopped_sheets(self._resolve_conflict(self._not_older_than_snapshot(state)))
        changed = self._publish(state, end="finished" if state.is_final else "")
        interval_s = min(self._intervals, default=MAX_FIRST_ROSTER_AGE_S)
        roster = self._roster_poller.latest
        self._schedule.on_state(
            state,
            changed=changed,
            interval_s=interval_s,
            from_fallback=not state.live and roster is not None and roster.live,
        )

    async def _read_state(self, *, on_demand: bool) -> JobState:
        async with self._read_limiter.acquire(on_demand=on_demand):
            self._last_entry = self._roster_poller.get_entry(self.job_id)
            return await self._backend.read_job(self.job_id, self._last_entry)

    async def _with_fresh_status(self, state: JobState) -> JobState:
        """A state with an entry of the roster that is no older than its checkpoint."""
        try:
            roster = await self._roster_poller.get()
        except StateUnavailableError:
            return state
        entry, known = roster.entries.get(self.job_id), self._last_entry
        if entry is None or roster.source != state.source:
            return state
        if known is None or entry.submitted_at != known.submitted_at:
            # It was submitted again meanwhile: the checkpoint may say nothing of that run.
            return await self._read_state(on_demand=True)
        self._last_entry = entry
        return replace(state, status=entry.status)

    def _not_older_than_snapshot(self, state: JobState) -> JobState:
        """A state that does not take back what was told of the same submission.

        What is on disk may be older than what the conductor has said, and a conductor that refuses
        to give a checkpoint has not taken it back.
        """
        if self.snapshot is None:
            return state
        known = self.snapshot.state
        same_run = known.run == state.run
        if known.sheets and not state.sheets and is_same_submission(known, state):
            older = True
        else:
            older = not state.live and same_run and updated_at_s(state) < updated_at_s(known)
        if older:
            return replace(
                known,
                status=state.status,
                checkpoint_status=state.checkpoint_status,
                source=state.source,
                live=state.live,
            )
        if same_run and known.is_terminal and state.is_terminal and known.completed_at:
            # The end that was told first: a conductor that stops writes another over it.
            return replace(state, completed_at=known.completed_at)
        return state

    def _resolve_conflict(self, state: JobState) -> JobState:
        """A state with the roster's word for it, once the checkpoint has long said otherwise."""
        if state.is_consistent or not state.is_terminal:
            self._conflict_since = None
            return state
        now = asyncio.get_running_loop().time()
        if self._conflict_since is None:
            self._conflict_since = now
        if now - self._conflict_since < CONFLICT_TIMEOUT_S:
            return state
        return replace(state, checkpoint_status=state.status)

    def _publish(
        self, state: JobState, *, end: SnapshotEnd = "", is_last_known: bool = False
    ) -> bool:
        """Makes a state the newest view, and says whether a viewer sees a difference in the job."""
        before = self.snapshot
        if before is not None and before.source != "none" and has_progressed(before.state, state):
            self._progress.record(self.job_id)
        roster = self._roster_poller.latest
        live = state.live and not is_last_known
        view = self.snapshot = JobSnapshot(
            state,
            source="none" if is_last_known else state.source,
            live=live,
            end=end,
            detail=roster.detail if roster is not None and not live else "",
            last_progress_at=self._progress.get(self.job_id),
        )
        if before is None or not view.is_same(before):
            self.topic.publish(view)
        return before is None or not view.is_same_state(before)

    def _on_missing(self) -> None:
        """The job was not found: believed when it is said again."""
        self._last_read_at = asyncio.get_running_loop().time()
        if self._is_missing and self.snapshot is not None:
            self._publish(self.snapshot.state, end="deleted")
        self._is_missing = True
        self._schedule.on_missing()

    def _on_unavailable(self, error: StateUnavailableError) -> None:
        """Viewers keep the last known state, and are told that it is no more than that."""
        logger.debug("job %r cannot be read: %s", self.job_id, error)
        self._last_read_at = asyncio.get_running_loop().time()
        if self.snapshot is not None:
            self._publish(self.snapshot.state, is_last_known=True)
        self._schedule.on_error()


def updated_at_s(state: JobState) -> float:
    """When a state was written, in epoch seconds; 0 where that is not known."""
    return to_epoch_s(state.updated_at) or 0.0


def is_same_submission(one: JobState, other: JobState) -> bool:
    """Whether two states are of the same submission, whichever source they come from."""
    return is_same_time(to_epoch_s(one.submitted_at), to_epoch_s(other.submitted_at))
