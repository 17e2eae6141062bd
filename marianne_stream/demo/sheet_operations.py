"""Operations on the sheets of simulated jobs, with the fields that the conductor writes.

As the real one does, `normal_attempts` counts the attempts that have failed,
`total_duration_seconds` adds attempts up and leaves the waits between them out, and cost and tokens
are 0 or null unless the instrument reports them.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from marianne_stream.demo.checkpoint_fields import format_time
from marianne_stream.demo.job_operations import JobOperations
from marianne_stream.demo.simulated_job import SimulatedJob


@dataclass(frozen=True, slots=True)
class SheetOutput:
    """Facts about an attempt that an instrument reports beside the exit code.

    The names are those of the checkpoint's fields.
    """

    model: str = "claude-sonnet-4-5"
    input_tokens: int = 1200
    output_tokens: int = 350
    estimated_cost: float = 0.009
    stdout_tail: str = ""
    stderr_tail: str = ""


class SheetOperations(JobOperations):
    """Jobs with sheets; the arguments are those of `JobOperations`."""

    def __init__(self, socket_path: Path, **options: Any) -> None:
        super().__init__(socket_path, **options)

        # End of the rate limit of each instrument that has one, in epoch seconds.
        self.rate_limits_until: dict[str, float] = {}

    def dispatch(self, job_id: str, number: int) -> None:
        """Dispatch a sheet, for the first time or again.

        The end of a rate limit stays in the checkpoint while the limit is in force.
        """
        job = self._claim(job_id)
        job.sheet(number).update(status="dispatched", error_message=None, error_code=None)
        if self.rate_limits_until.get(job.instrument, 0.0) <= time.time():
            job.sheet(number)["rate_limit_expires_at"] = None
        job.dispatched_at[number] = time.monotonic()
        self._save(job)
        self._emit_sheet_event(job_id, "sheet.started", number)

    def complete_sheet(self, job_id: str, number: int, output: SheetOutput | None = None) -> None:
        """Complete a sheet; the output is None for an instrument that reports none."""
        job = self._claim(job_id)
        add_duration(job, number)
        if output is not None:
            add_output(job, number, output)
        job.sheet(number).update(status="completed", error_message=None)
        self._save(job)
        self._emit_sheet_event(job_id, "sheet.completed", number)

    def fail_sheet(self, job_id: str, number: int, message: str = "Exit code 1") -> None:
        """Fail a sheet. Other sheets and the job stay as they are: skip and finish them."""
        job = self._claim(job_id)
        add_duration(job, number)
        count_failure(job, number)
        job.sheet(number).update(status="failed", error_message=message, error_code="E999")
        self._save(job)
        self._emit_sheet_event(job_id, "sheet.failed", number)

    def skip_sheet(self, job_id: str, number: int, failed_sheet: int) -> None:
        """Skip a sheet that depends on a failed one."""
        job = self._claim(job_id)
        message = f"Blocked by failed dependency: sheet {failed_sheet}"
        job.sheet(number).update(status="skipped", error_message=message, error_code="E999")
        self._save(job)
        self._emit_sheet_event(job_id, "baton.sheet.skipped", number)

    def schedule_retry(self, job_id: str, number: int) -> None:
        """Fail an attempt that will be repeated: dispatch the sheet later."""
        job = self._claim(job_id)
        add_duration(job, number)
        count_failure(job, number)
        job.sheet(number)["status"] = "retry_scheduled"
        self._save(job)
        self._emit_sheet_event(job_id, "sheet.retrying", number)

    def limit_rate(
        self, job_id: str, number: int, duration_s: float, *, is_reported: bool = False
    ) -> None:
        """Let a sheet wait because its instrument has reached a rate limit: dispatch it later.

        The checkpoint has the end if `is_reported`; `daemon.rate_limits` always has it.
        """
        job = self._claim(job_id)
        add_duration(job, number)
        until = self.rate_limits_until[job.instrument] = time.time() + duration_s
        reported_end = format_time(until) if is_reported else None
        job.sheet(number).update(status="waiting", rate_limit_expires_at=reported_end)
        self._save(job)

    def hold_sheet(self, job_id: str, number: int) -> None:
        """Let a sheet wait for a person's decision: dispatch it, or fail it, later."""
        job = self._claim(job_id)
        add_duration(job, number)
        job.sheet(number)["status"] = "fermata"
        self._save(job)


def add_duration(job: SimulatedJob, number: int) -> None:
    """Add the time since the dispatch of a sheet to its time at work."""
    now_s = time.monotonic()
    job.sheet(number)["total_duration_seconds"] += now_s - job.dispatched_at.pop(number, now_s)


def count_failure(job: SimulatedJob, number: int) -> None:
    """Count a failed attempt of a sheet."""
    job.sheet(number)["normal_attempts"] += 1


def add_output(job: SimulatedJob, number: int, output: SheetOutput) -> None:
    """Write an instrument's report into a sheet, and add its cost and tokens to the job's."""
    sheet = job.sheet(number)
    sheet.update(
        **asdict(output),
        exit_code=0,
        execution_duration_seconds=sheet["total_duration_seconds"],
        total_cost_usd=output.estimated_cost,
        cost_confidence=0.9,
    )
    if job.checkpoint is not None:
        job.checkpoint["total_input_tokens"] += output.input_tokens
        job.checkpoint["total_output_tokens"] += output.output_tokens
        job.checkpoint["total_estimated_cost"] += output.estimated_cost
