"""Payload about one sheet in full."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from marianne_stream.models import OptionalTime, is_false, is_none
from marianne_stream.schemas.payload import Payload, is_empty

OptionalText = Annotated[str | None, Field(exclude_if=is_none)]

OptionalNumber = Annotated[int | float | None, Field(exclude_if=is_none)]
# As the conductor writes it.
OptionalValue = Annotated[Any, Field(exclude_if=is_none)]
Flag = Annotated[bool, Field(exclude_if=is_false)]


class SheetDetail(Payload):
    """Response of `GET /api/jobs/{job_id}/sheets/{number}`.

    Fields that are not known are absent. Of a recorded run, only the fields of RunSheetData are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    job_id: str
    number: int
    status: str
    run: OptionalText = None
    attempt: OptionalNumber = None
    started_at: OptionalTime = None
    completed_at: OptionalTime = None
    waiting_until: OptionalTime = None
    last_activity_at: OptionalText = None
    observed: Flag = False
    estimated: Flag = False
    work_s: Annotated[
        OptionalNumber, Field(description="Time of all attempts without waits, in seconds.")
    ] = None
    execution_duration_s: OptionalNumber = None
    timeout_s: OptionalNumber = None
    instrument_name: OptionalText = None
    instrument_model: OptionalText = None
    model: OptionalText = None
    movement: OptionalValue = None
    voice: OptionalValue = None
    error_code: OptionalText = None
    error_category: OptionalText = None
    error_message: Annotated[OptionalText, Field(description="In full, up to 64 KiB.")] = None
    error_history: OptionalValue = None
    exit_code: OptionalNumber = None
    exit_signal: OptionalValue = None
    exit_reason: OptionalText = None
    execution_mode: OptionalText = None
    failed_attempts: OptionalNumber = None
    completion_attempts: OptionalNumber = None
    healing_attempts: OptionalNumber = None
    max_retries: OptionalNumber = None
    max_completion: OptionalNumber = None
    validation_passed: OptionalValue = None
    validation_details: OptionalValue = None
    passed_validations: OptionalValue = None
    failed_validations: OptionalValue = None
    last_pass_percentage: OptionalNumber = None
    confidence_score: OptionalNumber = None
    outcome_category: OptionalText = None
    preflight_warnings: OptionalValue = None
    display_status: OptionalText = None
    fallback_chain: OptionalValue = None
    fallback_attempts: OptionalValue = None
    instrument_fallback_history: OptionalValue = None
    estimated_cost: Annotated[
        OptionalNumber, Field(description="US dollars, as the conductor estimates it.")
    ] = None
    input_tokens: OptionalNumber = None
    output_tokens: OptionalNumber = None
    stdout_tail: Annotated[OptionalText, Field(description="End of the output, up to 64 KiB.")] = (
        None
    )
    stderr_tail: OptionalText = None
    output_truncated: OptionalValue = None
    omitted: tuple[str, ...] = Field(
        default=(),
        exclude_if=is_empty,
        description="Names of fields that have more than 64 KiB, and are left out; absent if none.",
    )
