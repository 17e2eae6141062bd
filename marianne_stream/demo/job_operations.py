"""Operations on the jobs of a simulated conductor, their events and their registry rows.

Tests and scenarios call them. Each takes effect at once, between two requests.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from marianne_stream.demo.checkpoint_fields import JsonObject, format_time, make_checkpoint
from marianne_stream.demo.conductor_server import ConductorServer
from marianne_stream.demo.registry_writer import RegistryWriter
from marianne_stream.demo.rpc_messages import encode_notification
from marianne_stream.demo.simulated_job import SimulatedJob

MAX_OBSERVER_EVENTS = 200


class JobOperations(ConductorServer):
    """Jobs of one conductor, in the order of their submission.

    The arguments are described at `ConductorServer` and `SimulatedConductor`.
    """

    def __init__(  # noqa: PLR0913
        self,
        socket_path: Path,
        *,
        registry: Path | None,
        has_sheet_events: bool,
        max_connections: int,
        max_queued_events: int,
        shutdown_grace_s: float,
    ) -> None:
        super().__init__(
            socket_path,
            max_connections=max_connections,
            max_queued_events=max_queued_events,
            shutdown_grace_s=shutdown_grace_s,
        )
        self.jobs: dict[str, SimulatedJob] = {}

        # Called with the id of a job after every change of it.
        self.job_listeners: list[Callable[[str], None]] = []
        self._registry = None if registry is None else RegistryWriter(registry)
        self._has_sheet_events = has_sheet_events
        self._event_timers: set[asyncio.TimerHandle] = set()
        self._observer_events_by_job: defaultdict[str, deque[JsonObject]] = defaultdict(
            lambda: deque(maxlen=MAX_OBSERVER_EVENTS)
        )

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
        """Queue a job. An existing job keeps its checkpoint until the new run publishes one.

        Until then the conductor goes on setting `updated_at` of the old checkpoint.

        Bytes of an id that are not UTF-8 are lone surrogates, as os.fsdecode returns them. By
        default, the name is the id, and both paths are below /srv/scores. `movements` has the
        movement by sheet number, of the sheets that have one.
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
            has_live_checkpoint=old.has_live_checkpoint if old else False,
        )
        self.jobs[job_id] = job
        self._on_job_changed(job, is_saved=False)
        return job

    def start_run(self, job_id: str) -> SimulatedJob:
        """Start a queued job: status running, a new checkpoint, and `job.started`."""
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
        """Submit and start a job; `options` are those of `submit`."""
        self.submit(job_id, sheets, **options)
        return self.start_run(job_id)

    def pause(self, job_id: str) -> None:
        """Pause a job. No event announces it."""
        job = self._claim(job_id)
        job.status = "paused"
        self._save(job)

    def pause_at_chain(self, job_id: str) -> None:
        """Set the status `paused_at_chain` in the roster only; the checkpoint never has it."""
        job = self._claim(job_id)
        job.status = "paused_at_chain"
        self._on_job_changed(job, is_saved=False)

    def resume(self, job_id: str) -> None:
        """Resume a job that is paused or has ended, from its incomplete sheets."""
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
        """Cancel a job. Its roster entry loses its progress, and no event announces it.

        The checkpoint in the registry keeps its old status: only the row is right.
        """
        job = self._claim(job_id)
        job.status, job.completed_at, job.has_run = "cancelled", time.time(), False
        job.has_live_checkpoint = False
        if job.checkpoint is not None:
            job.checkpoint["status"] = "cancelled"
        self._on_job_changed(job, is_saved=False)

    def finish(
        self,
        job_id: str,
        status: str = "completed",
        *,
        error_message: str | None = None,
        event_delay_s: float = 0.003,
    ) -> None:
        """End a job: first its state, then `job.completed` or `job.failed`.

        Its sheets stay as they are. The status is `completed` or `failed`. A failed job without a
        checkpoint needs an error message. The event is sent at once if its delay is 0.
        """
        job = self._claim(job_id)
        job.status, job.completed_at = status, time.time()
        job.error_message = error_message
        if job.checkpoint is not None:
            job.checkpoint["completed_at"] = format_time(job.completed_at)
        self._save(job)
        all_success = status == "completed"
        self._emit_later(event_delay_s, job_id, f"job.{status}", {"all_success": all_success})

    def run_hook(self, job_id: str, chained_job_id: str, sheets: int = 4) -> SimulatedJob:
        """Submit another job, as a hook of a completed one does; only the registry tells of it."""
        job = self.jobs[job_id]
        chained_job = self.submit(chained_job_id, sheets)
        job.hook_results.append(
            {
                "hook_type": "run_job",
                "description": f"Start {chained_job_id}",
                "success": True,
                "output": f"Chained job submitted (job_id={chained_job_id})",
                "chained_job_id": chained_job_id,
            }
        )
        self._on_job_changed(job)
        return chained_job

    def set_status(
        self, job_id: str, *, roster: str | None = None, checkpoint: str | None = None
    ) -> None:
        """Set any status, known or not; None keeps a status."""
        job = self.jobs[job_id]
        job.status = roster or job.status
        if job.checkpoint is not None:
            job.checkpoint["status"] = checkpoint or job.checkpoint["status"]
        self._store(job)

    def touch(self, job_id: str) -> None:
        """Store a job whose fields were changed from outside."""
        self._store(self.jobs[job_id])

    def remove(self, job_id: str, *, keep_row: bool = False) -> None:
        """Remove a job from the roster and, without `keep_row`, from the registry."""
        del self.jobs[job_id]
        self._observer_events_by_job.pop(job_id, None)
        if self._registry is not None and not keep_row:
            self._registry.delete(job_id)
        for listener in self.job_listeners:
            listener(job_id)

    def fail_orphan(self, job: SimulatedJob) -> None:
        """Mark a job as failed whose process has died, as `job.status` does."""
        job.is_orphaned = False
        job.status, job.completed_at = "failed", time.time()
        job.error_message = "Daemon restarted while job was active"
        self._save(job)

    def emit(
        self, job_id: str, event: str, data: Mapping[str, Any] | None = None, sheet_num: int = 0
    ) -> None:
        """Send one event to every subscription.

        It is about a sheet, the whole job (`sheet_num` 0) or the whole host (`job_id` "").
        """
        params: JsonObject = {
            "job_id": job_id,
            "sheet_num": sheet_num,
            "event": event,
            "data": None if data is None else dict(data),
            "timestamp": time.time(),
        }
        if event.startswith("observer."):
            self._observer_events_by_job[job_id].append(params)
        self.send_event(encode_notification(params))

    def _claim(self, job_id: str) -> SimulatedJob:
        """Return a job that this conductor runs from now on.

        Raises:
            KeyError: there is no such job.
        """
        job = self.jobs[job_id]
        job.is_orphaned, job.has_run, job.has_live_checkpoint = False, True, True
        return job

    def _save(self, job: SimulatedJob) -> None:
        """Copy the roster's status to the checkpoint, and store both."""
        if job.checkpoint is not None and job.status != "paused_at_chain":
            job.checkpoint["status"] = job.status
        self._store(job)

    def _store(self, job: SimulatedJob) -> None:
        """Store a job; as on the real conductor, `updated_at` of all live checkpoints changes."""
        now_s = time.time()
        for other in self.jobs.values():
            if other.has_live_checkpoint and other.checkpoint is not None:
                other.checkpoint["updated_at"] = format_time(now_s)
        job.update_timestamps(now_s)
        self._on_job_changed(job)

    def _on_job_changed(self, job: SimulatedJob, *, is_saved: bool = True) -> None:
        """Write the row of a changed job, and call the listeners.

        `is_saved` tells whether its checkpoint was saved too.
        """
        if self._registry is not None:
            if is_saved:
                job.save_checkpoint()
            self._registry.put(job.registry_row())
        for listener in self.job_listeners:
            listener(job.job_id)

    def _emit_later(self, delay_s: float, job_id: str, event: str, data: Mapping[str, Any]) -> None:
        """Send one event after a delay in seconds; at once if it is 0. A stop cancels it."""
        if delay_s == 0:
            self.emit(job_id, event, data)
            return

        def emit_now() -> None:
            self._event_timers.discard(timer)
            self.emit(job_id, event, data)

        timer = asyncio.get_running_loop().call_later(delay_s, emit_now)
        self._event_timers.add(timer)

    def _emit_sheet_event(self, job_id: str, event: str, number: int) -> None:
        if self._has_sheet_events:
            self.emit(job_id, event, {}, number)


def _resume_sheet(sheet: JsonObject, now_s: float) -> None:
    if sheet["status"] == "completed":
        sheet["completed_at"] = format_time(now_s)
    else:
        sheet.update(status="pending", error_message=None, error_code=None, normal_attempts=0)
