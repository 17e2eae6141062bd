"""Fields of checkpoints and sheets, as a conductor 0.1.0 writes them in `job.status`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

JsonObject = dict[str, Any]


def format_time(epoch_s: float) -> str:
    """Format a time as the conductor does: microseconds, and `Z`."""
    moment = datetime.fromtimestamp(epoch_s, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def make_checkpoint(
    job_id: str,
    *,
    sheets: int,
    now_s: float,
    instrument: str = "cli",
    movements: Mapping[int, int] | None = None,
) -> JsonObject:
    """Return the checkpoint of a run that starts at `now_s`, with all of its sheets pending.

    `movements` has the movement by sheet number, of the sheets that have one.
    """
    movement_by_sheet = movements or {}
    numbers = range(1, sheets + 1)
    return {
        "job_id": job_id,
        "job_name": job_id,
        "config_hash": None,
        "config_snapshot": None,
        "config_path": None,
        "created_at": format_time(now_s),
        "updated_at": format_time(now_s),
        "started_at": format_time(now_s),
        "completed_at": None,
        "total_sheets": sheets,
        "last_completed_sheet": 0,
        "current_sheet": None,
        "status": "running",
        "sheets": {str(n): make_sheet(n, instrument, movement_by_sheet.get(n)) for n in numbers},
        "instruments_used": [instrument],
        "total_movements": len(set(movement_by_sheet.values())) or sheets,
        **_unused_job_fields(),
    }


def make_sheet(number: int, instrument: str = "cli", movement: int | None = None) -> JsonObject:
    """Return a pending sheet."""
    return {
        "sheet_num": number,
        "status": "pending",
        "started_at": None,
        "completed_at": None,
        "error_message": None,
        "error_code": None,
        "instrument_name": instrument,
        "movement": movement,
        "normal_attempts": 0,
        "stdout_tail": None,
        "total_duration_seconds": 0.0,
        **_unused_sheet_fields(),
    }


def _unused_job_fields() -> JsonObject:
    empty = (
        "pid error_message resume_at worktree_path worktree_branch worktree_base_commit "
        "isolation_mode"
    )
    zeros = (
        "total_retry_count rate_limit_waits quota_waits total_input_tokens total_output_tokens "
        "parallel_batches_executed"
    )
    flags = "cost_limit_reached worktree_locked isolation_fallback_used parallel_enabled"
    lists = "sheets_in_progress hook_results circuit_breaker_history"
    return {
        **dict.fromkeys(empty.split()),
        **dict.fromkeys(zeros.split(), 0),
        **dict.fromkeys(flags.split(), False),
        **{name: [] for name in lists.split()},
        "total_estimated_cost": 0.0,
        "parallel_max_concurrent": 1,
        "synthesis_results": {},
        "spec_corpus_hash": "",
    }


def _unused_sheet_fields() -> JsonObject:
    empty = (
        "exit_code error_category validation_passed validation_details instrument_model voice "
        "exit_signal exit_reason execution_duration_seconds last_pass_percentage execution_mode "
        "outcome_data confidence_score outcome_category stderr_tail prompt_metrics "
        "last_activity_at fire_at rate_limit_expires_at model display_status grounding_passed "
        "grounding_confidence grounding_guidance input_tokens output_tokens estimated_cost "
        "agent_feedback"
    )
    lists = (
        "passed_validations failed_validations learned_patterns preflight_warnings "
        "progress_snapshots error_history instrument_fallback_history fallback_chain "
        "applied_patterns"
    )
    zeros = (
        "attempt_count completion_attempts similar_outcomes_count healing_attempts "
        "current_instrument_index"
    )
    return {
        **dict.fromkeys(empty.split()),
        **{name: [] for name in lists.split()},
        **dict.fromkeys(zeros.split(), 0),
        "success_without_retry": False,
        "output_truncated": False,
        "max_retries": 3,
        "max_completion": 5,
        "total_cost_usd": 0.0,
        "fallback_attempts": {},
        "sheet_timeout_seconds": 1800.0,
        "cost_confidence": 1.0,
    }
