"""One job in a simulated conductor's memory, and the three shapes in which it is told.

The roster's entry, the answer to `job.status`, and the registry's row. It must not know sockets,
events or files: `operations` says what happens to a job.
"""

import json
import os
from dataclasses import dataclass, field
from typing import Any, Literal

from marianne_stream.demo.checkpoint_fields import JsonObject, format_time


@dataclass(slots=True)
class SimulatedJob:
    """A job's roster entry and, once its run has published one, its checkpoint.

    Times are epoch seconds. The roster and the checkpoint each have a status of their own, since
    they disagree for moments on the real conductor.
    """

    job_id: str
    name: str
    workspace: str
    config_path: str
    submitted_at: float
    status: str = "queued"
    started_at: float | None = None
    completed_at: float | None = None

    # What the next published checkpoint is made of.
    sheets: int = 4
    instrument: str = "cli"
    movements: dict[int, int] = field(default_factory=dict)

    # None for a job that has not published one: job.status gives bare metadata then.
    checkpoint: JsonObject | None = None

    # The checkpoint as the registry has it, which a cancelled job's last state never reaches.
    saved_checkpoint: str | None = None

    # Whether it has run since the conductor started, and so has progress in the roster.
    has_run: bool = False

    # Loaded as running from a registry: its process is gone, which nobody has noticed yet.
    is_orphaned: bool = False

    # Of a job that failed before it published a checkpoint, or that a crash ended, which the
    # registry alone tells.
    error_message: str | None = None
    error_traceback: str | None = None
    last_event_at: float | None = None
    snapshot_path: str | None = None

    # When each running sheet was dispatched, for its duration.
    dispatched_at: dict[int, float] = field(default_factory=dict)

    @property
    def completed_sheets(self) -> int:
        """How many sheets of the checkpoint have the status `completed` exactly."""
        return sum(status == "completed" for status in self.sheet_statuses().values())

    def sheet_statuses(self) -> dict[str, str]:
        """Give each sheet's status, by its number as a string; empty without a checkpoint."""
        sheets = self.checkpoint["sheets"] if self.checkpoint else {}
        return {number: sheet["status"] for number, sheet in sheets.items()}

    def sheet(self, number: int) -> JsonObject:
        """Give one sheet's fields, to change in place.

        Raises:
            KeyError: there is no such sheet, or no checkpoint yet.
        """
        if self.checkpoint is None or str(number) not in self.checkpoint["sheets"]:
            raise KeyError(f"job {self.job_id!r} has no sheet {number}")
        found: JsonObject = self.checkpoint["sheets"][str(number)]
        return found

    def update_timestamps(self, now_s: float) -> None:
        """Give the checkpoint the time of a change, and what follows from its sheets."""
        if self.checkpoint is None:
            return
        sheets = self.checkpoint["sheets"].values()
        done = (sheet["sheet_num"] for sheet in sheets if sheet["status"] == "completed")
        self.checkpoint["last_completed_sheet"] = max(done, default=0)
        self.checkpoint["updated_at"] = format_time(now_s)
        self.last_event_at = now_s

    def save_checkpoint(self) -> None:
        """Make the checkpoint as it is now what the registry is to have."""
        if self.checkpoint is not None:
            self.saved_checkpoint = json.dumps(self.checkpoint, separators=(",", ":"))

    def roster_entry(self) -> JsonObject:
        """Give the job's entry in the answer to `job.list`."""
        entry = self._metadata()
        if self.has_run and self.checkpoint is not None:
            entry["progress_completed"] = self.completed_sheets
            entry["progress_total"] = self.checkpoint["total_sheets"]
        return entry

    def status_result(self) -> JsonObject:
        """Give the answer to `job.status`: the checkpoint, or bare metadata before there is one."""
        if self.checkpoint is not None:
            return self.checkpoint
        answer = self._metadata()
        if self.error_message is not None:
            answer["error_message"] = self.error_message
            answer["error_traceback"] = self.error_traceback
        return answer

    def registry_row(self) -> JsonObject:
        """Give the job's row of the registry; current_sheet and total_sheets stay null there."""
        return {
            "job_id": self.job_id,
            "config_path": self.config_path,
            "workspace": self.workspace,
            "status": self.status,
            "pid": os.getpid(),
            "submitted_at": self.submitted_at,
            "started_at": self.started_at,
            "completed_at": self.completed_at,
            "error_message": self.error_message,
            "last_event_at": self.last_event_at,
            "snapshot_path": self.snapshot_path,
            "checkpoint_json": self.saved_checkpoint,
        }

    def pad(self, min_bytes: int, *, kind: Literal["values", "strings"] = "strings") -> None:
        """Pad the sheets until the answer to `job.status` has at least so many bytes.

        Args:
            min_bytes: of the result alone, written with no spaces.
            kind: many small values (in outcome_data), or one long string a sheet (stdout_tail).
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
        return {
            "job_id": self.job_id,
            "status": self.status,
            "config_path": self.config_path,
            "workspace": self.workspace,
            "submitted_at": self.submitted_at,
            "started_at": self.started_at,
        }


def make_job_from_row(row: JsonObject) -> SimulatedJob:
    """Give a job as a conductor that has just started knows it from its registry.

    Its status in the row is right where the checkpoint's differs, and replaces it. A job that was
    running stays so until somebody asks for its state: its process is found gone only then.
    """
    saved = row["checkpoint_json"]
    checkpoint: JsonObject | None = json.loads(saved) if saved else None
    if checkpoint is not None:
        checkpoint["status"] = row["status"]
    job = SimulatedJob(
        job_id=row["job_id"],
        name=checkpoint["job_name"] if checkpoint else row["job_id"],
        workspace=row["workspace"],
        config_path=row["config_path"],
        submitted_at=row["submitted_at"],
        status=row["status"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        checkpoint=checkpoint,
        saved_checkpoint=saved,
        is_orphaned=row["status"] == "running",
        error_message=row["error_message"],
        last_event_at=row["last_event_at"],
        snapshot_path=row["snapshot_path"],
    )
    if checkpoint is not None:
        job.sheets = checkpoint["total_sheets"]
    return job
