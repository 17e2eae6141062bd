"""Watcher of one job: a queue of hints, a task that reads the state, and a topic of snapshots.

Only this task reads the job's state, however many clients watch it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from marianne_stream.backends.base import Backend
from marianne_stream.backends.checkpoint import mark_stopped_sheets
from marianne_stream.common.intervals import SharedInterval
from marianne_stream.errors import JobNotFoundError, MarianneStreamError, StateUnavailableError
from marianne_stream.fanout.topic import Topic
from marianne_stream.jobs.poll_schedule import ACTIVE_DELAY_S, PollSchedule
from marianne_stream.jobs.progress import has_progressed
from marianne_stream.jobs.progress_tracker import (
    ProgressTracker,
    get_forecast,
    without_forecast,
)
from marianne_stream.jobs.read_limiter import StateReadLimiter
from marianne_stream.jobs.read_times import SeenPeriod
from marianne_stream.jobs.roster_poller import RosterPoller
from marianne_stream.jobs.snapshots import JobSnapshot, SnapshotEnd
from marianne_stream.jobs.state_merge import (
    has_unseen_change,
    keep_newer,
    merge_fresh_entry,
    resolve_conflict,
)
from marianne_stream.models import JobState, MonitorEvent, RosterEntry

logger = logging.getLogger(__name__)

# Queue limit: beyond this many pending hints, further ones add no information.
MAX_QUEUED_HINTS = 1000

# Age of a roster that is new enough for the first read.
MAX_FIRST_ROSTER_AGE_S = 1.0


@dataclass(frozen=True, slots=True)
class RosterHint:
    """Hint: the roster has a new entry of the job, or comes from another source.

    `unchanged_at` is the loop time of the roster before a new entry; None if it is unknown.
    """

    entry: RosterEntry | None
    source_changed: bool
    unchanged_at: float | None = None


@dataclass(frozen=True, slots=True)
class BackgroundTurn:
    """Hint: the scheduled read, which is due, may begin."""


Hint = MonitorEvent | RosterHint | BackgroundTurn


class JobWatcher:
    """Watches one job, from `run` until it is cancelled or the job ends.

    `on_stalled` is called with the number of each sheet that has stalled.
    """

    def __init__(  # noqa: PLR0913
        self,
        job_id: str,
        *,
        backend: Backend,
        roster_poller: RosterPoller,
        read_limiter: StateReadLimiter,
        tracker: ProgressTracker,
        on_stalled: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self.job_id = job_id
        self.topic: Topic[JobSnapshot] = Topic()
        self.snapshot: JobSnapshot | None = None
        self._backend = backend
        self._roster_poller = roster_poller
        self._read_limiter = read_limiter
        self._tracker = tracker
        self._on_stalled = on_stalled
        # Sheets that have stalled by the last state that was read.
        self._stalled: tuple[int, ...] = ()
        # False if the states have the progress that another server has seen.
        self._has_own_progress = True
        self._hints: asyncio.Queue[Hint] = asyncio.Queue()
        # Set when the current hints have been processed, including the read that they require.
        self._hints_processed = asyncio.Event()
        self._schedule = PollSchedule()
        self._intervals = SharedInterval()
        self._first_read: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The job's entry when the state was last read.
        self._last_entry: RosterEntry | None = None
        self._last_read_at = 0.0
        self._read_began_at = 0.0
        self._seen_period = SeenPeriod()
        self._is_missing = False
        self._conflict_since: float | None = None

    @property
    def has_subscribers(self) -> bool:
        """True if there are subscribers."""
        return bool(self._intervals)

    def add_interval(self, interval_s: float) -> None:
        """Add a subscriber, for which job and roster are polled at an interval in seconds."""
        shortest_s = self._intervals.shortest_s()
        self._intervals.add(interval_s)
        self._roster_poller.intervals.add(interval_s)
        if shortest_s is not None and interval_s < shortest_s:
            # The scheduled read may be too late for this subscriber.
            self.add_hint(RosterHint(self._last_entry, source_changed=True))

    def remove_interval(self, interval_s: float) -> None:
        """Remove a subscriber that was added with this interval."""
        self._intervals.remove(interval_s)
        self._roster_poller.intervals.remove(interval_s)

    async def wait_first_snapshot(self) -> JobSnapshot:
        """Return the newest snapshot, or wait for the first. Cancelling is safe.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: the state cannot be read.
        """
        await asyncio.shield(self._first_read)
        if self.snapshot is None or self.snapshot.end == "deleted":
            raise JobNotFoundError(self.job_id)
        return self.snapshot

    async def wait_current_snapshot(self) -> JobSnapshot:
        """Return the newest snapshot; read the state first if it may have changed.

        Raises the errors of `wait_first_snapshot`. Cancelling is safe.
        """
        await self.wait_first_snapshot()
        await self._roster_poller.get(MAX_FIRST_ROSTER_AGE_S)
        entry = self._roster_poller.get_entry(self.job_id)
        is_outdated = self._is_outdated()
        if self._is_unseen_change(entry) or is_outdated:
            processed = self._hints_processed
            self.add_hint(RosterHint(entry, source_changed=is_outdated))
            await processed.wait()
        return await self.wait_first_snapshot()

    def _is_outdated(self) -> bool:
        """Return True if a running job was read too long ago for a client that asks now."""
        age_s = asyncio.get_running_loop().time() - self._last_read_at
        is_running = self.snapshot is not None and self.snapshot.state.status == "running"
        return is_running and age_s > ACTIVE_DELAY_S

    def add_hint(self, hint: Hint) -> None:
        """Queue a hint that the job may have changed; events without a change are ignored."""
        if isinstance(hint, MonitorEvent) and not hint.may_change_state:
            return
        if isinstance(hint, RosterHint):
            self._seen_period.on_new_entry(hint.unchanged_at)
        if self._hints.qsize() < MAX_QUEUED_HINTS:
            self._hints.put_nowait(hint)

    async def run(self) -> None:
        """Read the state, publish changes, and read again when required.

        Returns when the job has ended, or the first read has failed, whose error
        `wait_first_snapshot` raises. All waiting calls return, however it ends.
        """
        try:
            await self._read_first()
            # A terminal snapshot ends this watcher. A later subscriber starts a new one.
            while self.snapshot is None or not self.snapshot.end:
                await self._read_again(await self._wait_for_reason())
        except MarianneStreamError as error:
            self._fail_first_read(error)
        except asyncio.CancelledError:
            self._fail_first_read(StateUnavailableError("the watcher of the job was stopped"))
            raise
        finally:
            self._hints_processed.set()

    def fail(self, error: BaseException) -> None:
        """End the subscribers' streams and waiting calls after the task has failed."""
        self._fail_first_read(
            MarianneStreamError(f"the watcher of {self.job_id!r} failed: {error!r}")
        )
        if self.snapshot is not None:
            self._publish(self.snapshot.state, end="fault")

    def _fail_first_read(self, error: MarianneStreamError) -> None:
        if not self._first_read.done():
            self._first_read.set_exception(error)
            # Mark the exception as retrieved: the waiting calls may have been cancelled.
            self._first_read.exception()

    async def _read_first(self) -> None:
        """Read the state for the calls that wait for it; raise the errors of the read."""
        began = asyncio.get_running_loop().time()
        await self._roster_poller.get(MAX_FIRST_ROSTER_AGE_S)
        # Earlier hints are covered by the first read.
        self._hints = asyncio.Queue()
        await self._read_and_publish(began, on_demand=True)
        self._first_read.set_result(None)

    async def _read_again(self, hints: list[Hint]) -> None:
        """Read the state because of hints; without hints it is a scheduled read."""
        began = asyncio.get_running_loop().time()
        processed, self._hints_processed = self._hints_processed, asyncio.Event()
        try:
            if any(isinstance(hint, MonitorEvent) and hint.is_job_level for hint in hints):
                # The roster is right about the status, so it is read first.
                await self._roster_poller.get()
            await self._read_and_publish(began, on_demand=bool(hints))
        except JobNotFoundError:
            self._on_missing()
        except StateUnavailableError as error:
            self._on_unavailable(error)
        finally:
            processed.set()

    async def _wait_for_reason(self) -> list[Hint]:
        """Wait for hints that require a read, and return them; none for a scheduled read."""
        is_due = False
        try:
            while True:
                hints = await self._take_hints(is_due=is_due)
                if hints is None:
                    can_wait = self._intervals.is_relaxed
                    if self._read_limiter.request_turn(self._add_turn, can_wait=can_wait):
                        return []
                    # On-demand reads go first.
                    is_due = True
                elif any(map(self._requires_read, hints)):
                    return hints
                elif BackgroundTurn() in hints:
                    return []
                else:
                    self._hints_processed.set()
                    self._hints_processed = asyncio.Event()
        finally:
            self._read_limiter.cancel_turn(self._add_turn)

    async def _take_hints(self, *, is_due: bool) -> list[Hint] | None:
        """Wait for hints, and take all; return None once the scheduled read is due.

        `is_due` is True if it is due already, and waits for its turn.
        """
        delay_s = self._schedule.delay_s
        due_at = None if delay_s is None or is_due else self._last_read_at + delay_s
        try:
            async with asyncio.timeout_at(due_at):
                hints = [await self._hints.get()]
        except TimeoutError:
            return None
        while not self._hints.empty():
            hints.append(self._hints.get_nowait())
        return hints

    def _add_turn(self) -> None:
        self._hints.put_nowait(BackgroundTurn())

    def _requires_read(self, hint: Hint) -> bool:
        if isinstance(hint, RosterHint):
            return hint.source_changed or self._is_unseen_change(hint.entry)
        return isinstance(hint, MonitorEvent)

    def _is_unseen_change(self, entry: RosterEntry | None) -> bool:
        shown = self.snapshot.state if self.snapshot is not None else None
        return has_unseen_change(entry, self._last_entry, shown)

    async def _read_and_publish(self, roster_since: float, *, on_demand: bool) -> None:
        """Read the state, and publish a snapshot if it is new.

        The end of the job counts only with a roster that was requested after the loop time
        `roster_since`. Raises the errors of `wait_first_snapshot`.
        """
        state = await self._read_state(on_demand=on_demand)
        self._has_own_progress = state.progress is None
        if not state.is_consistent or (
            state.is_final and self._roster_poller.latest_requested_at < roster_since
        ):
            state = await self._with_fresh_status(state)
        self._is_missing = False
        self._last_read_at = asyncio.get_running_loop().time()
        state = keep_newer(state, self.snapshot.state if self.snapshot is not None else None)
        state, self._conflict_since = resolve_conflict(
            state, self._conflict_since, self._last_read_at
        )
        state = mark_stopped_sheets(state)
        if self._has_own_progress:
            max_gap_s = self._seen_period.max_gap_s(
                read_began_at=self._read_began_at,
                roster_at=self._roster_poller.read_at,
                is_scheduled=self._schedule.delay_s is not None,
            )
            state = await self._tracker.update(state, max_gap_s=max_gap_s)
        self._seen_period.on_read(self._last_read_at)
        changed = self._publish(state, end="finished" if state.is_final else "")
        roster = self._roster_poller.latest
        self._schedule.on_state(
            state,
            changed=changed,
            interval_s=self._intervals.shortest_s() or MAX_FIRST_ROSTER_AGE_S,
            from_fallback=not state.live and roster is not None and roster.live,
            is_behind=self._is_unseen_change(self._last_entry),
        )

    async def _read_state(self, *, on_demand: bool) -> JobState:
        async with self._read_limiter.acquire(on_demand=on_demand):
            self._last_entry = self._roster_poller.get_entry(self.job_id)
            self._read_began_at = asyncio.get_running_loop().time()
            return await self._backend.read_job(self.job_id, self._last_entry)

    async def _with_fresh_status(self, state: JobState) -> JobState:
        """Return a state with the status of a roster that is no older than its checkpoint."""
        try:
            roster = await self._roster_poller.get()
        except StateUnavailableError:
            return state
        merged = merge_fresh_entry(state, roster, self._last_entry)
        if merged is None:
            # The checkpoint may say nothing about the new submission.
            return await self._read_state(on_demand=True)
        state, self._last_entry = merged
        return state

    def _publish(
        self, state: JobState, *, end: SnapshotEnd = "", is_last_known: bool = False
    ) -> bool:
        """Publish a state; return True if clients see a difference in the job."""
        before = self.snapshot
        if before is not None and has_progressed(before.state, state):
            self._tracker.count_sheets(before.state, state)
            if before.source != "none":
                self._tracker.record_progress(self.job_id)
        if self._has_own_progress:
            state = self._tracker.refresh(state)
        if is_last_known:
            state = without_forecast(state)
        roster = self._roster_poller.latest
        live = state.live and not is_last_known
        snapshot = self.snapshot = JobSnapshot(
            state,
            source="none" if is_last_known else state.source,
            live=live,
            end=end,
            detail=roster.detail if roster is not None and not live else "",
        )
        if before is None or not snapshot.is_same(before):
            self.topic.publish(snapshot)
        if self._has_own_progress and not is_last_known and not end:
            self._announce_stalled(snapshot.status_data.stalled)
        return before is None or not snapshot.is_same_state(before)

    def _announce_stalled(self, stalled: tuple[int, ...]) -> None:
        before, self._stalled = self._stalled, stalled
        for number in stalled:
            if number not in before:
                self._on_stalled(number)

    def current_state(self) -> JobState | None:
        """Return the newest state with its progress until now; None before the first."""
        if self.snapshot is None:
            return None
        state = self.snapshot.state
        return self._tracker.refresh(state) if self._has_own_progress else state

    def update_progress(self) -> None:
        """Publish a snapshot if stalled sheets or the end of a rate limit differ from the shown."""
        shown = self.snapshot
        if not self._has_own_progress or shown is None or shown.end or shown.source == "none":
            return
        before, now = shown.state.progress, self._tracker.refresh(shown.state).progress
        if get_forecast(before) != get_forecast(now):
            self._publish(shown.state)

    def _on_missing(self) -> None:
        """Report the job as deleted if it is missing for the second time."""
        self._last_read_at = asyncio.get_running_loop().time()
        self._seen_period.on_failure()
        if self._is_missing and self.snapshot is not None:
            self._publish(self.snapshot.state, end="deleted")
        self._is_missing = True
        self._schedule.on_missing()

    def _on_unavailable(self, error: StateUnavailableError) -> None:
        """Show the last known state, marked as such."""
        logger.debug("job not read job=%r error=%s", self.job_id, error)
        self._last_read_at = asyncio.get_running_loop().time()
        self._seen_period.on_failure()
        if self.snapshot is not None:
            self._publish(self.snapshot.state, is_last_known=True)
        self._schedule.on_error()
