"""What a job's watch tells beyond its entry in the roster: the current sheet, the last change.

It must not know who watches a job, or why.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.jobs.progress import ProgressTimes
from marianne_stream.jobs.snapshots import JobSnapshot
from marianne_stream.jobs.watcher import JobWatcher
from marianne_stream.models import JobState, Roster, RosterDetails, RosterEntry, is_same_time

# Changes within so long are told together.
DEBOUNCE_S = 0.1


class RosterDetailCache:
    """What is known of the jobs that are followed, and of those whose end was seen.

    Args:
        progress: knows when jobs last changed.
        on_change: called a moment after something has changed, once for all that has.
    """

    def __init__(self, progress: ProgressTimes, on_change: Callable[[], None]) -> None:
        self._progress = progress
        self._on_change = on_change
        self._watchers: dict[str, JobWatcher] = {}
        # The last states of jobs that are over, without their sheets, for as long as the roster
        # lists them.
        self._final_states: dict[str, JobState] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def attach(self, watcher: JobWatcher) -> None:
        """Takes in what a watch tells, until it is forgotten."""
        if self._watchers.get(watcher.job_id) is not watcher:
            self._watchers[watcher.job_id] = watcher
            watcher.topic.subscribe(self)
            self._schedule_notify()

    def detach(self, watcher: JobWatcher) -> None:
        """A watch has ended: what it told is the job's last state, or gets old."""
        if self._watchers.get(watcher.job_id) is watcher:
            del self._watchers[watcher.job_id]
            self._schedule_notify()

    def offer(self, snapshot: JobSnapshot, /) -> None:
        """Hears of a new view."""
        if snapshot.end == "finished":
            self._final_states[snapshot.state.job_id] = replace(snapshot.state, sheets=())
        self._schedule_notify()

    def on_roster(self, roster: Roster) -> None:
        """Lets go of jobs that the roster lists no more."""
        for job_id in self._final_states.keys() - roster.entries.keys():
            del self._final_states[job_id]

    def get(self, entry: RosterEntry) -> RosterDetails | None:
        """Return what is known of the job's run that an entry is about; None for nothing."""
        last_progress_at = self._progress.get(entry.job_id)
        state = self._find_state(entry)
        if state is None:
            if last_progress_at is None:
                return None
            return RosterDetails(last_progress_at=last_progress_at)
        # A state from before or behind the entry has another sheet at work.
        same_count = entry.completed_sheets in (None, state.completed_sheets)
        return RosterDetails(
            current_sheet=state.current_sheet if same_count and not entry.is_terminal else None,
            updated_at=state.updated_at,
            last_progress_at=last_progress_at,
        )

    def get_all(self, roster: Roster) -> dict[str, RosterDetails]:
        """Return what is known of the jobs of a roster."""
        return {
            entry.job_id: details
            for entry in roster.entries.values()
            if (details := self.get(entry)) is not None
        }

    def _find_state(self, entry: RosterEntry) -> JobState | None:
        """Return the last state of the run that an entry is about."""
        watch = self._watchers.get(entry.job_id)
        if watch is not None and watch.snapshot is not None:
            state: JobState | None = watch.snapshot.state
        else:
            state = self._final_states.get(entry.job_id)
            if state is not None and state.status != entry.status:
                # It runs again, unwatched.
                return None
        return state if state is not None and is_state_of_entry(state, entry) else None

    def close(self) -> None:
        """Tells nothing any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _schedule_notify(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(DEBOUNCE_S, self._notify)

    def _notify(self) -> None:
        self._timer = None
        self._on_change()


def is_state_of_entry(state: JobState, entry: RosterEntry) -> bool:
    """Whether a state and an entry are of the same submission.

    In a folder of checkpoints, which tell no submission, a job's creation stands for it.
    """
    return is_same_time(to_epoch_s(state.submitted_at or state.created_at), entry.submitted_at)
