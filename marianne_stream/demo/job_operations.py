"""What can happen to a job of a simulated conductor, and which events tell of it.

Tests and scenarios call these; each takes effect at once, between two requests. It must not know
sockets, nor how the registry is written: it says `changed`, and emits.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from marianne_stream.demo.checkpoint_fields import JsonObject, format_time, make_checkpoint
from marianne_stream.demo.simulated_job import SimulatedJob


class JobOperations(ABC):
    """The jobs of one conductor, in the order of their submission.

    Args:
        has_sheet_events: emit `sheet.*` events, as other conductors do. This one emits none for a
            sheet, a pause or a cancellation.
    """

    def __init__(self, *, has_sheet_events: bool = False) -> None:
        self.jobs: dict[str, SimulatedJob] = {}
        self._has_sheet_events = has_sheet_events

    @abstractmethod
    def emit(
        self, job_id: str, event: str, data: Mapping[str, Any] | None = None, sheet_num: int = 0
    ) -> None:
        """Send one event to every subscription, now."""

    @abstractmethod
    def emit_later(self, delay_s: float, job_id: str, event: str, data: Mapping[str, Any]) -> None:
        """Send one event after a delay; at once where it is 0."""

    @abstractmethod
    def on_job_changed(self, job: SimulatedJob, *, is_saved: bool = True) -> None:
        """Hear that a job changed, and whether its checkpoint was saved with the change."""

    @abstractmethod
    def on_job_removed(self, job_id: str, *, keep_row: bool) -> None:
        """Hear that a job is gone from memory, and whether its row stays in the registry."""

    def submit(  # noqa: PLR0913
        self,
        job_id: str,
        sheets: int = 4,
        *,
        name: str | None = None,
        workspace: str | None = None,
        config_path: str | None = None,
        instrument: str = "cli",
        movements: Mapping[int, int] | None = None,
    ) -> SimulatedJob:
        """Queue a job. One that exists keeps its old checkpoint until the new run publishes one.

        Args:
            job_id: the id; not UTF-8 bytes in it are lone surrogates, as os.fsdecode gives them.
            sheets: how many sheets the checkpoint will have.
            name: the score's name; the id when left out.
            workspace: the job's folder; a name in /srv/scores when left out.
            config_path: the score's file; a name in /srv/scores when left out.
            instrument: what plays the sheets.
            movements: the movement of each sheet that has one.
        """
        old = self.jobs.pop(job_id, None)
        job = SimulatedJob(
            job_id=job_id,
            name=name or job_id,
            workspace=workspace or f"/srv/scores/ws-{job_id}",
            config_path=config_path or f"/srv/scores/{job_id}.yaml",
            submitted_at=time.time(),
            sheets=sheets,
            instrument=instrument,
            movements=dict(movements or {}),
            checkpoint=old.checkpoint if old else None,
            saved_checkpoint=old.saved_checkpoint if old else None,
        )
        self.jobs[job_id] = job
        self.on_job_changed(job, is_saved=False)
        return job

    def start_run(self, job_id: str) -> SimulatedJob:
        """Begin the run of a queued job: running, a new checkpoint, and `job.started`."""
        job = self._claim(job_id)
        now_s = time.time()
        job.status, job.started_at, job.completed_at = "running", now_s, None
        self.emit(job_id, "job.started", {"sheet_count": job.sheets, "instrument": job.instrument})
        job.checkpoint = make_checkpoint(
            job_id,
            sheets=job.sheets,
            now_s=now_s,
            instrument=job.instrument,
            movements=job.movements,
        )
        job.checkpoint["job_name"] = job.name
        self._save(job)
        return job

    def launch(self, job_id: str, sheets: int = 4, **options: Any) -> SimulatedJob:
        """Submit a job and publish it at once; `options` are those of `submit`."""
        self.submit(job_id, sheets, **options)
        return self.start_run(job_id)

    def dispatch(self, job_id: str, number: int) -> None:
        """Begin to play a sheet."""
        job = self._claim(job_id)
        job.sheet(number)["status"] = "dispatched"
        job.dispatched_at[number] = time.monotonic()
        self._save(job)
        self._emit_sheet_event(job_id, "sheet.started", number)

    def complete_sheet(self, job_id: str, number: int) -> None:
        """End a sheet well."""
        job = self._claim(job_id)
        job.sheet(number).update(
            status="completed",
            total_duration_seconds=_take_duration_s(job, number),
            error_message=None,
        )
        self._save(job)
        self._emit_sheet_event(job_id, "sheet.completed", number)

    def fail_sheet(self, job_id: str, number: int, message: str = "Exit code 1") -> None:
        """End a sheet badly. Other sheets and the job stay as they are: skip and finish them."""
        job = self._claim(job_id)
        job.sheet(number).update(
            status="failed",
            error_message=message,
            error_code="E999",
            normal_attempts=1,
            total_duration_seconds=_take_duration_s(job, number),
        )
        self._save(job)
        self._emit_sheet_event(job_id, "sheet.failed", number)

    def skip_sheet(self, job_id: str, number: int, because_of: int) -> None:
        """Leave out a sheet that needs another one, which failed."""
        job = self._claim(job_id)
        message = f"Blocked by failed dependency: sheet {because_of}"
        job.sheet(number).update(status="skipped", error_message=message, error_code="E999")
        self._save(job)
        self._emit_sheet_event(job_id, "baton.sheet.skipped", number)

    def pause(self, job_id: str) -> None:
        """Pause a job. No event tells of it."""
        job = self._claim(job_id)
        job.status = "paused"
        self._save(job)

    def pause_at_chain(self, job_id: str) -> None:
        """Give the roster a status that the checkpoint does not have, and stays without."""
        job = self._claim(job_id)
        job.status = "paused_at_chain"
        self.on_job_changed(job, is_saved=False)

    def resume(self, job_id: str) -> None:
        """Go on with a job that was paused or has ended, from the sheets that are not completed."""
        job = self._claim(job_id)
        if job.checkpoint is None:
            raise ValueError(f"job {job_id!r} has no checkpoint to resume from")
        self.emit(job_id, "job.resuming", {"sheet_count": job.checkpoint["total_sheets"]})
        now_s = time.time()
        job.status, job.started_at, job.completed_at = "running", now_s, None
        job.checkpoint.update(started_at=format_time(now_s), completed_at=None)
        for sheet in job.checkpoint["sheets"].values():
            _resume_sheet(sheet, now_s)
        self._save(job)

    def cancel(self, job_id: str) -> None:
        """Cancel a job. Its roster entry loses its progress, its sheets stay, and no event tells.

        The checkpoint in the registry goes on saying what it said before: the row is right.
        """
        job = self._claim(job_id)
        job.status, job.completed_at, job.has_run = "cancelled", time.time(), False
        if job.checkpoint is not None:
            job.checkpoint["status"] = "cancelled"
        self.on_job_changed(job, is_saved=False)

    def finish(
        self,
        job_id: str,
        status: str = "completed",
        *,
        error_message: str | None = None,
        event_delay_s: float = 0.003,
    ) -> None:
        """End a job: its state first, its `job.completed` or `job.failed` a moment later.

        Args:
            job_id: the job; its sheets stay as they are.
            status: `completed` or `failed`.
            error_message: of a job that fails before it has a checkpoint.
            event_delay_s: seconds between the change and the event; 0 for none.
        """
        job = self._claim(job_id)
        job.status, job.completed_at = status, time.time()
        job.error_message = error_message
        if job.checkpoint is not None:
            job.checkpoint["completed_at"] = format_time(job.completed_at)
        self._save(job)
        all_success = status == "completed"
        self.emit_later(event_delay_s, job_id, f"job.{status}", {"all_success": all_success})

    def set_status(
        self, job_id: str, *, roster: str | None = None, checkpoint: str | None = None
    ) -> None:
        """Give a job any statuses, known or not; what is left out stays."""
        job = self.jobs[job_id]
        job.status = roster or job.status
        if job.checkpoint is not None:
            job.checkpoint["status"] = checkpoint or job.checkpoint["status"]
        self._store(job)

    def touch(self, job_id: str) -> None:
        """Say that a job's fields were changed from outside, so that they are stored."""
        self._store(self.jobs[job_id])

    def remove(self, job_id: str, *, keep_row: bool = False) -> None:
        """Forget a job, in the roster and, unless the row is kept, in the registry."""
        del self.jobs[job_id]
        self.on_job_removed(job_id, keep_row=keep_row)

    def fail_orphan(self, job: SimulatedJob) -> None:
        """Mark a job failed whose process is found gone, as asking for its state does."""
        job.is_orphaned = False
        job.status, job.completed_at = "failed", time.time()
        job.error_message = "Daemon restarted while job was active"
        self._save(job)

    def _claim(self, job_id: str) -> SimulatedJob:
        """Give the job that something happens to: this conductor runs it from now on.

        Raises:
            KeyError: there is no such job.
        """
        job = self.jobs[job_id]
        job.is_orphaned, job.has_run = False, True
        return job

    def _save(self, job: SimulatedJob) -> None:
        """Let the checkpoint follow the roster's status, and store both."""
        if job.checkpoint is not None and job.status != "paused_at_chain":
            job.checkpoint["status"] = job.status
        self._store(job)

    def _store(self, job: SimulatedJob) -> None:
        """Store a job; `updated_at` of all that have run rises with it, as on the real one."""
        now_s = time.time()
        for other in self.jobs.values():
            if other.has_run and other.checkpoint is not None:
                other.checkpoint["updated_at"] = format_time(now_s)
        job.update_timestamps(now_s)
        self.on_job_changed(job)

    def _emit_sheet_event(self, job_id: str, event: str, number: int) -> None:
        if self._has_sheet_events:
            self.emit(job_id, event, {}, number)


def _resume_sheet(sheet: JsonObject, now_s: float) -> None:
    if sheet["status"] == "completed":
        sheet["completed_at"] = format_time(now_s)
    else:
        sheet.update(status="pending", error_message=None, error_code=None)


def _take_duration_s(job: SimulatedJob, number: int) -> float:
    now_s = time.monotonic()
    return now_s - job.dispatched_at.pop(number, now_s)
