"""Payload about one sheet with everything that is known of it."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from marianne_stream.models import OptionalTime, is_false, is_none
from marianne_stream.schemas.payload import Payload, is_empty

ToldText = Annotated[str | None, Field(exclude_if=is_none)]

ToldNumber = Annotated[int | float | None, Field(exclude_if=is_none)]
# As the conductor writes it.
Told = Annotated[Any, Field(exclude_if=is_none)]
Flag = Annotated[bool, Field(exclude_if=is_false)]


class SheetDetail(Payload):
    """Response of `GET /api/jobs/{job_id}/sheets/{number}`.

    Fields that are not known are absent. Of a recorded run, only the fields of RunSheetData are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    job_id: str
    number: int
    status: str
    run: ToldText = None
    attempt: ToldNumber = None
    started_at: OptionalTime = None
    completed_at: OptionalTime = None
    waiting_until: OptionalTime = None
    last_activity_at: ToldText = None
    observed: Flag = False
    estimated: Flag = False
    work_s: Annotated[
        ToldNumber, Field(description="Time of all attempts without waits, in seconds.")
    ] = None
    execution_duration_s: ToldNumber = None
    timeout_s: ToldNumber = None
    instrument_name: ToldText = None
    instrument_model: ToldText = None
    model: ToldText = None
    movement: Told = None
    voice: Told = None
    error_code: ToldText = None
    error_category: ToldText = None
    error_message: Annotated[ToldText, Field(description="In full, up to 64 KiB.")] = None
    error_history: Told = None
    exit_code: ToldNumber = None
    exit_signal: Told = None
    exit_reason: ToldText = None
    execution_mode: ToldText = None
    failed_attempts: ToldNumber = None
    completion_attempts: ToldNumber = None
    healing_attempts: ToldNumber = None
    max_retries: ToldNumber = None
    max_completion: ToldNumber = None
    validation_passed: Told = None
    validation_details: Told = None
    passed_validations: Told = None
    failed_validations: Told = None
    last_pass_percentage: ToldNumber = None
    confidence_score: ToldNumber = None
    outcome_category: ToldText = None
    preflight_warnings: Told = None
    display_status: ToldText = None
    fallback_chain: Told = None
    fallback_attempts: Told = None
    instrument_fallback_history: Told = None
    estimated_cost: Annotated[
        ToldNumber, Field(description="US dollars, as the conductor estimates it.")
    ] = None
    input_tokens: ToldNumber = None
    output_tokens: ToldNumber = None
    stdout_tail: Annotated[ToldText, Field(description="End of the output, up to 64 KiB.")] = None
    stderr_tail: ToldText = None
    output_truncated: Told = None
    omitted: tuple[str, ...] = Field(
        default=(),
        exclude_if=is_empty,
        description="Names of fields that have more than 64 KiB, and are left out; absent if none.",
    )
