"""Details of roster entries that only the jobs' watchers know, such as what a job waits for."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.jobs.job_data import shown_waits_s
from marianne_stream.jobs.progress import ProgressTimes
from marianne_stream.jobs.snapshots import JobSnapshot
from marianne_stream.jobs.waiting import find_waiting_status
from marianne_stream.jobs.watcher import JobWatcher
from marianne_stream.models import (
    JobProgress,
    JobState,
    Roster,
    RosterDetails,
    RosterEntry,
    format_iso_time,
    is_same_time,
)
from marianne_stream.value_limits import MAX_ERROR_CHARS

# Changes within this time are reported together.
DEBOUNCE_S = 0.1


class RosterDetailCache:
    """Facts about the watched jobs, and about jobs whose end was seen.

    `on_change` is called shortly after changes, once for all of them.
    """

    def __init__(self, progress: ProgressTimes, on_change: Callable[[], None]) -> None:
        self._progress = progress
        self._on_change = on_change
        self._watchers: dict[str, JobWatcher] = {}
        # Final states without sheets, of jobs that the roster still lists.
        self._final_states: dict[str, JobState] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def attach(self, watcher: JobWatcher) -> None:
        """Use the snapshots of a watcher until it is detached."""
        if self._watchers.get(watcher.job_id) is not watcher:
            self._watchers[watcher.job_id] = watcher
            watcher.topic.subscribe(self)
            self._schedule_notify()

    def detach(self, watcher: JobWatcher) -> None:
        """Stop using a watcher, which has ended."""
        if self._watchers.get(watcher.job_id) is watcher:
            del self._watchers[watcher.job_id]
            self._schedule_notify()

    def offer(self, snapshot: JobSnapshot, /) -> None:
        """Handle a new snapshot."""
        if snapshot.end == "finished":
            self._final_states[snapshot.state.job_id] = replace(snapshot.state, sheets=())
        self._schedule_notify()

    def on_roster(self, roster: Roster) -> None:
        """Remove jobs that the roster no longer lists."""
        for job_id in self._final_states.keys() - roster.entries.keys():
            del self._final_states[job_id]

    def get(self, entry: RosterEntry) -> RosterDetails | None:
        """Return the facts about the run of an entry; None if there are none."""
        last_progress_at = self._progress.get(entry.job_id)
        watcher = self._watchers.get(entry.job_id)
        snapshot = watcher.snapshot if watcher is not None else None
        state = self._find_state(entry, snapshot)
        if state is None:
            if last_progress_at is None:
                return None
            return RosterDetails(last_progress_at=format_iso_time(last_progress_at))
        # A state that is older or newer than the entry has other active sheets.
        same_count = entry.completed_sheets in (None, state.completed_sheets)
        has_active = same_count and not entry.is_terminal
        # The watcher has not read what a newer entry with another status shows.
        same_status = entry.status == state.status
        progress = state.progress or JobProgress()
        waiting = snapshot.status_data.waiting if snapshot is not None else None
        if state.source == "redis":
            # An edge shows what the origin has seen.
            last_progress_at = progress.last_progress_at
        return RosterDetails(
            current_sheet=state.current_sheet if has_active else None,
            active_sheets=snapshot.active_sheets if snapshot is not None and has_active else 0,
            updated_at=state.updated_at,
            last_progress_at=format_iso_time(last_progress_at),
            started_at=format_iso_time(progress.times.started_at) if progress.times else None,
            waited_s=shown_waits_s(progress),
            waiting=waiting if same_status else find_waiting_status(entry.status),
            eta_at=format_iso_time(progress.eta_at) if same_status else None,
            stalled=progress.stalled if same_status else (),
            error_message=state.error_message[:MAX_ERROR_CHARS] if state.error_message else None,
            estimated_cost=state.estimated_cost,
        )

    def get_all(self, roster: Roster) -> dict[str, RosterDetails]:
        """Return the facts about all jobs of a roster."""
        return {
            entry.job_id: details
            for entry in roster.entries.values()
            if (details := self.get(entry)) is not None
        }

    def _find_state(self, entry: RosterEntry, snapshot: JobSnapshot | None) -> JobState | None:
        """Return the last state of the run of an entry."""
        if snapshot is not None:
            state: JobState | None = snapshot.state
        else:
            state = self._final_states.get(entry.job_id)
            if state is not None and state.status != entry.status:
                # It runs again without a watcher.
                return None
        return state if state is not None and is_state_of_entry(state, entry) else None

    def close(self) -> None:
        """Report no more changes."""
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
    """Return True if a state and an entry are of the same submission.

    Checkpoints on disk have no submission time; the time of creation stands for it.
    """
    return is_same_time(to_epoch_s(state.submitted_at or state.created_at), entry.submitted_at)
