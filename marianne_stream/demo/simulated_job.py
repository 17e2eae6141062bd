"""Simulated job, and its three forms: roster entry, `job.status` result, registry row."""

import json
import os
from dataclasses import dataclass, field
from typing import Any, Literal

from marianne_stream.demo.checkpoint_fields import JsonObject, format_time

# Fields of `job.list`, and of `job.status` without a checkpoint, in their order.
METADATA_FIELDS = (
    *("job_id", "status", "config_path", "workspace"),
    *("submitted_at", "started_at"),
)

# Fields of a job that its registry row has as well.
SHARED_FIELDS = (
    *METADATA_FIELDS,
    *("completed_at", "error_message", "last_event_at", "snapshot_path"),
)


@dataclass(slots=True)
class SimulatedJob:
    """Roster entry of a job and, once its run has published one, its checkpoint.

    Times are epoch seconds. Roster and checkpoint have a status each, since they briefly disagree
    on the real conductor.
    """

    job_id: str
    name: str
    workspace: str
    config_path: str
    submitted_at: float
    status: str = "queued"
    started_at: float | None = None
    completed_at: float | None = None

    # Fields of the next checkpoint.
    sheets: int = 4
    instrument: str = "cli"
    movements: dict[int, int] = field(default_factory=dict)

    # None before the run has published one: job.status then returns metadata only.
    checkpoint: JsonObject | None = None

    # Checkpoint in the registry; the last state of a cancelled job is never saved.
    saved_checkpoint: str | None = None

    # Whether the job has run since the conductor started; only then the roster has its progress.
    has_run: bool = False

    # Whether the conductor sets `updated_at` of the checkpoint whenever any job changes.
    has_live_checkpoint: bool = False

    # Loaded as running from a registry: its process has died, but no request has noticed yet.
    is_orphaned: bool = False

    # Error of a job without a checkpoint, or of one that a crash ended; only the registry has the
    # latter.
    error_message: str | None = None
    error_traceback: str | None = None
    last_event_at: float | None = None
    snapshot_path: str | None = None

    # Results of the hooks after the last run; only the registry has them.
    hook_results: list[JsonObject] = field(default_factory=list)

    # Monotonic dispatch time of each running sheet.
    dispatched_at: dict[int, float] = field(default_factory=dict)

    @property
    def completed_sheets(self) -> int:
        """Return the number of completed sheets."""
        return sum(status == "completed" for status in self.sheet_statuses().values())

    def sheet_statuses(self) -> dict[str, str]:
        """Return the status of each sheet by its number as a string; empty without a checkpoint."""
        sheets = self.checkpoint["sheets"] if self.checkpoint else {}
        return {number: sheet["status"] for number, sheet in sheets.items()}

    def sheet(self, number: int) -> JsonObject:
        """Return the fields of one sheet, to change in place.

        Raises:
            KeyError: there is no such sheet, or no checkpoint yet.
        """
        if self.checkpoint is None or str(number) not in self.checkpoint["sheets"]:
            raise KeyError(f"job {self.job_id!r} has no sheet {number}")
        found: JsonObject = self.checkpoint["sheets"][str(number)]
        return found

    def update_timestamps(self, now_s: float) -> None:
        """Update the checkpoint's time of change and the fields that depend on its sheets."""
        if self.checkpoint is None:
            return
        sheets = self.checkpoint["sheets"].values()
        done = (sheet["sheet_num"] for sheet in sheets if sheet["status"] == "completed")
        self.checkpoint["last_completed_sheet"] = max(done, default=0)
        self.checkpoint["updated_at"] = format_time(now_s)
        self.last_event_at = now_s

    def save_checkpoint(self) -> None:
        """Copy the current checkpoint for the registry."""
        if self.checkpoint is not None:
            self.saved_checkpoint = json.dumps(self.checkpoint, separators=(",", ":"))

    def roster_entry(self) -> JsonObject:
        """Return the job's entry in `job.list`."""
        entry = self._metadata()
        if self.has_run and self.checkpoint is not None:
            entry["progress_completed"] = self.completed_sheets
            entry["progress_total"] = self.checkpoint["total_sheets"]
        return entry

    def status_result(self) -> JsonObject:
        """Return the result of `job.status`: the checkpoint, or metadata without one."""
        if self.checkpoint is not None:
            return self.checkpoint
        answer = self._metadata()
        if self.error_message is not None:
            answer["error_message"] = self.error_message
            answer["error_traceback"] = self.error_traceback
        return answer

    def registry_row(self) -> JsonObject:
        """Return the job's row of the registry; current_sheet and total_sheets stay null there."""
        return {
            **{name: getattr(self, name) for name in SHARED_FIELDS},
            "pid": os.getpid(),
            "checkpoint_json": self.saved_checkpoint,
            "hook_results_json": json.dumps(self.hook_results) if self.hook_results else None,
        }

    def pad(self, min_bytes: int, *, kind: Literal["values", "strings"] = "strings") -> None:
        """Pad the sheets until the result of `job.status` has a minimum size as compact JSON.

        `values` are many small ones in outcome_data; `strings` are one a sheet, in stdout_tail.
        """
        if self.checkpoint is None:
            raise ValueError(f"job {self.job_id!r} has no checkpoint to inflate")
        sheets: list[JsonObject] = list(self.checkpoint["sheets"].values())
        for sheet in sheets:
            sheet["stdout_tail"] = sheet["outcome_data"] = None
        missing = min_bytes - len(json.dumps(self.checkpoint, separators=(",", ":")))
        share = max(0, -(-missing // len(sheets)))
        for sheet in sheets:
            if kind == "strings":
                sheet["stdout_tail"] = ("all is well. " * (share // 13 + 1))[: share + 4]
            else:
                # Each is 17 bytes on the wire: its key, its value, the colon and the comma.
                sheet["outcome_data"] = {f"k{n:07d}": 12345 for n in range(share // 17 + 1)}

    def _metadata(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in METADATA_FIELDS}


def make_job_from_row(row: JsonObject) -> SimulatedJob:
    """Return the job of a registry row, as a conductor knows it after its start.

    The row's status replaces that of the checkpoint. A running job stays so until its state is
    requested, when its process is found dead.
    """
    saved = row["checkpoint_json"]
    checkpoint: JsonObject | None = json.loads(saved) if saved else None
    if checkpoint is not None:
        checkpoint["status"] = row["status"]
    job = SimulatedJob(
        **{name: row[name] for name in SHARED_FIELDS},
        name=checkpoint["job_name"] if checkpoint else row["job_id"],
        checkpoint=checkpoint,
        saved_checkpoint=saved,
        is_orphaned=row["status"] == "running",
        hook_results=json.loads(row["hook_results_json"] or "[]"),
    )
    if checkpoint is not None:
        job.sheets = checkpoint["total_sheets"]
    return job
