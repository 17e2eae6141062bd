"""Payload about a conductor: its load and limits, which explain why a job waits."""

from pydantic import Field

from marianne_stream.conductor_models import ConductorLimits
from marianne_stream.models import is_none
from marianne_stream.schemas.job_schemas import WaitingJob
from marianne_stream.schemas.payload import Payload


class RateLimitData(Payload):
    """A rate limit of an instrument that is in force."""

    instrument: str
    until: str | None = Field(description="Its end, ISO 8601.")


class ConductorData(Payload):
    """Data of a `conductor` event, and response of `GET /api/conductor`."""

    source_name: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="Name of the source; present on an edge with several sources.",
    )
    version: str | None = Field(default=None, exclude_if=is_none)
    started_at: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="Start of the conductor's process, ISO 8601.",
    )
    shutting_down: bool | None = Field(default=None, exclude_if=is_none)
    accepting_work: bool | None = Field(
        default=None, exclude_if=is_none, description="Whether new jobs are accepted."
    )
    running_jobs: int | None = Field(default=None, exclude_if=is_none)
    limits: ConductorLimits | None = Field(default=None, exclude_if=is_none)
    pressure_level: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="Pressure of the host's resources: none, low, medium, high or critical.",
    )
    rate_limits: tuple[RateLimitData, ...] | None = Field(default=None, exclude_if=is_none)
    memory_mb: float | None = Field(
        default=None, exclude_if=is_none, description="Memory of the conductor, in MiB."
    )
    host_memory_total_mb: float | None = Field(default=None, exclude_if=is_none)
    host_memory_available_mb: float | None = Field(default=None, exclude_if=is_none)
    load_averages: tuple[float, float, float] | None = Field(
        default=None, exclude_if=is_none, description="Of the last 1, 5 and 15 minutes."
    )
    waiting: tuple[WaitingJob, ...] = Field(description="Jobs that are known to wait now.")
