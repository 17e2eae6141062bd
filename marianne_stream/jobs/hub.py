"""Job hub: owns the watchers, the roster hub and the event hub, and joins them."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from marianne_stream.backends.base import Backend
from marianne_stream.backends.shared_checkpoints import SharedCheckpoints
from marianne_stream.backends.sheet_detail import decode_sheet_detail
from marianne_stream.common.task_set import KeyedTasks
from marianne_stream.errors import CorruptStateError, StateUnavailableError
from marianne_stream.fanout.replay_buffer import ReplayBuffer
from marianne_stream.fanout.topic import Subscriber
from marianne_stream.jobs.conductor_poller import ReadConductors
from marianne_stream.jobs.event_hub import EventHub
from marianne_stream.jobs.event_visits import ReadRecentEvents, make_stalled_event
from marianne_stream.jobs.progress_tracker import ProgressTracker, load_nothing
from marianne_stream.jobs.read_limiter import FindLimiter, make_shared_limiter
from marianne_stream.jobs.roster_hub import RosterHub
from marianne_stream.jobs.roster_watchers import RosterJobWatchers
from marianne_stream.jobs.run_times import LoadRun
from marianne_stream.jobs.snapshots import JobSnapshot
from marianne_stream.jobs.subscriptions import JobSubscription
from marianne_stream.jobs.watcher import JobWatcher, RosterHint
from marianne_stream.models import JobState, MonitorEvent, Roster, Sheet, StateSourceName

logger = logging.getLogger(__name__)

# Interval of the subscription for a single request.
SINGLE_REQUEST_INTERVAL_S = 30.0


class JobHub:
    """Hands out subscriptions to jobs, with one watcher for each subscribed job.

    Args:
        read_recent_events: reads events while there is no subscription; None if not possible.
        find_limiter: returns the read limiter of a job's group; None for one group.
        read_conductors: reads information about the conductors; None without a conductor.
    """

    def __init__(  # noqa: PLR0913
        self,
        backend: Backend,
        replay_buffer: ReplayBuffer,
        *,
        event_source_name: StateSourceName = "conductor",
        read_recent_events: ReadRecentEvents | None = None,
        find_limiter: FindLimiter | None = None,
        read_conductors: ReadConductors | None = None,
    ) -> None:
        self._backend = backend
        self._find_limiter = find_limiter or make_shared_limiter()
        self._watchers: dict[str, JobWatcher] = {}
        self._watcher_tasks: KeyedTasks[JobWatcher] = KeyedTasks(self._on_watcher_failed)
        self._checkpoints = SharedCheckpoints(self._read_checkpoint)
        self._is_shutting_down = False
        self._load_run: LoadRun = load_nothing
        self._recorder: Subscriber[JobSnapshot] | None = None
        self.roster = RosterHub(
            backend,
            RosterJobWatchers(self.subscribe_job, self._find_limiter),
            on_roster=self._on_roster,
            on_rate_limits=self.update_progress,
            read_conductors=read_conductors,
        )
        self.events = EventHub(
            replay_buffer,
            self.roster.poller,
            source_name=event_source_name,
            record_activity=self.roster.progress.record_activity,
            read_recent_events=read_recent_events,
        )

    async def run(self) -> None:
        """Poll the roster and take events in until cancelled, then stop all watchers."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.roster.poller.run(), name="roster poller")
                group.create_task(self.events.run(), name="event visits")
                group.create_task(self.roster.conductors.run(), name="conductor poller")
        finally:
            await self.roster.close()
            await self._watcher_tasks.close()
            await self._checkpoints.close()

    async def subscribe_job(
        self, job_id: str, interval_s: float
    ) -> tuple[JobSnapshot, JobSubscription]:
        """Subscribe to a job before its state is read.

        Return the newest snapshot, and the subscription, which must be closed. `interval_s` is the
        longest age of a change that is not announced.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: the state cannot be read.
        """
        subscription = self._open_subscription(job_id, interval_s)
        self.roster.details.attach(subscription.watcher)
        try:
            return await subscription.watcher.wait_first_snapshot(), subscription
        except BaseException:
            subscription.close()
            raise

    async def get_state(self, job_id: str) -> JobState:
        """Return the current state of a job, for a single request.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: the state cannot be read.
        """
        # Not attached to the details: facts known for a moment only would come and go.
        subscription = self._open_subscription(job_id, SINGLE_REQUEST_INTERVAL_S)
        try:
            snapshot = await subscription.watcher.wait_current_snapshot()
        finally:
            subscription.close()
        if snapshot.source == "none":
            raise StateUnavailableError
        return subscription.watcher.current_state() or snapshot.state

    async def read_sheet(self, state: JobState, number: int) -> tuple[Sheet, dict[str, Any]]:
        """Read a sheet of the checkpoint of a state, or of a newer one.

        Returns:
            the sheet and its details, as `decode_sheet_detail` does.

        Raises:
            JobNotFoundError: there is no such job.
            SheetNotFoundError: its checkpoint has no such sheet.
            StateUnavailableError: the checkpoint cannot be read.
        """
        checkpoint = await self._checkpoints.read(state.job_id, state.updated_at)
        try:
            return await asyncio.to_thread(decode_sheet_detail, checkpoint, number)
        except ValueError as error:
            raise CorruptStateError(
                f"sheet {number} of {state.job_id!r} is not readable: {error}"
            ) from error

    async def ensure_exists(self, job_id: str) -> None:
        """Check that a job exists; its state is read only if the roster does not list it.

        Raises:
            JobNotFoundError: there is no such job.
            StateUnavailableError: neither roster nor state can be read.
        """
        if job_id not in (await self.roster.get()).entries:
            await self.get_state(job_id)

    @property
    def watched_job_count(self) -> int:
        """Number of watched jobs."""
        return len(self._watchers)

    def refresh_job(self, job_id: str) -> None:
        """Read a job's state again, if it is watched."""
        watcher = self._watchers.get(job_id)
        if watcher is not None:
            entry = self.roster.poller.get_entry(job_id)
            watcher.add_hint(RosterHint(entry, source_changed=True))

    def refresh_jobs(self, is_selected: Callable[[str], bool]) -> None:
        """Read the state of the selected watched jobs again."""
        for job_id in filter(is_selected, list(self._watchers)):
            self.refresh_job(job_id)

    def record(self, recorder: Subscriber[JobSnapshot], load_run: LoadRun) -> None:
        """Offer all further snapshots to a recorder, and load known runs from its records."""
        self._recorder, self._load_run = recorder, load_run

    def running_job_ids(self) -> list[str]:
        """Return the watched jobs that run."""
        return [
            job_id
            for job_id, watcher in self._watchers.items()
            if watcher.snapshot is not None and watcher.snapshot.state.status == "running"
        ]

    @property
    def stalled_job_count(self) -> int:
        """Number of watched jobs with a stalled sheet."""
        snapshots = (watcher.snapshot for watcher in self._watchers.values())
        return sum(
            snapshot is not None and bool(snapshot.status_data.stalled) for snapshot in snapshots
        )

    def update_progress(self) -> None:
        """Publish changes of stalled sheets and of rate limits."""
        for watcher in list(self._watchers.values()):
            watcher.update_progress()

    def begin_shutdown(self) -> None:
        """Report no loss of the subscription from now on: this server stops."""
        self._is_shutting_down = True

    def on_event(self, event: MonitorEvent) -> None:
        """Take an event of the conductor in, and pass it to the job's watcher."""
        self.events.add(event)
        watcher = self._watchers.get(event.job_id)
        if watcher is not None:
            watcher.add_hint(event)

    def on_subscribed(self) -> None:
        """Handle the beginning of a subscription to the conductor's events."""
        self.events.on_subscribed()
        self.roster.poller.invalidate()

    def on_subscription_lost(self) -> None:
        """Handle the end of the subscription to the conductor's events."""
        if not self._is_shutting_down:
            self.events.on_subscription_lost()
            self.roster.poller.invalidate()

    async def _read_checkpoint(self, job_id: str) -> bytes:
        async with self._find_limiter(job_id).acquire(on_demand=True):
            return await self._backend.read_checkpoint(job_id)

    def _open_subscription(self, job_id: str, interval_s: float) -> JobSubscription:
        """Subscribe to a job; the first subscription starts its watcher."""
        watcher = self._watchers.get(job_id) or self._start_watcher(job_id)
        return JobSubscription(watcher, interval_s, on_close=self._on_subscription_closed)

    def _start_watcher(self, job_id: str) -> JobWatcher:
        watcher = JobWatcher(
            job_id,
            backend=self._backend,
            roster_poller=self.roster.poller,
            read_limiter=self._find_limiter(job_id),
            tracker=ProgressTracker(self.roster.progress, self._load_run),
            on_stalled=lambda number: self.events.add(make_stalled_event(job_id, number)),
        )
        self._watchers[job_id] = watcher
        if self._recorder is not None:
            watcher.topic.subscribe(self._recorder)
        task = self._watcher_tasks.start(watcher, watcher.run(), name=f"watch {job_id!r}")
        task.add_done_callback(lambda _task: self._on_watcher_done(watcher))
        return watcher

    def _on_subscription_closed(self, watcher: JobWatcher) -> None:
        """Stop a watcher without subscribers."""
        if not watcher.has_subscribers:
            self._forget_watcher(watcher)
            self._watcher_tasks.cancel(watcher)

    def _on_watcher_failed(self, watcher: JobWatcher, error: BaseException) -> None:
        logger.error("watcher failed job=%r", watcher.job_id, exc_info=error)
        watcher.fail(error)

    def _on_watcher_done(self, watcher: JobWatcher) -> None:
        self.roster.details.detach(watcher)
        self._forget_watcher(watcher)

    def _forget_watcher(self, watcher: JobWatcher) -> None:
        """Let the next subscriber of the job start a new watcher."""
        if self._watchers.get(watcher.job_id) is watcher:
            del self._watchers[watcher.job_id]

    def _on_roster(self, before: Roster | None, roster: Roster) -> None:
        """Derive events from a new roster, and pass changed entries to the watchers."""
        self.events.on_roster(before, roster)
        source_changed = before is None or before.source != roster.source
        for job_id, watcher in self._watchers.items():
            entry = roster.entries.get(job_id)
            known = before.entries.get(job_id) if before is not None else None
            if source_changed or entry != known:
                unchanged_at = None if source_changed else self.roster.poller.read_before_at
                watcher.add_hint(
                    RosterHint(entry, source_changed=source_changed, unchanged_at=unchanged_at)
                )
