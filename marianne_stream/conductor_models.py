"""Values about a conductor that the packages exchange. No I/O."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from marianne_stream.models import is_none

# Name of the event that this server adds about a stalled sheet.
STALLED_EVENT = "sheet.stalled"

# Name of a conductor's event whose own name cannot be used. Its data has the name as well.
UNNAMED_EVENT = "message"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A rate limit of an instrument that is in force."""

    instrument: str
    until: float


@dataclass(frozen=True, slots=True)
class ConductorLimits:
    """Limits from the conductor's configuration."""

    connections: Annotated[
        int | None,
        Field(exclude_if=is_none, description="Connections that the conductor serves at once."),
    ] = None
    max_concurrent_jobs: Annotated[int | None, Field(exclude_if=is_none)] = None
    max_concurrent_sheets: Annotated[int | None, Field(exclude_if=is_none)] = None


@dataclass(frozen=True, slots=True)
class ConductorInfo:
    """Information that a conductor gives about itself; None for what it does not report.

    Values that only differ in memory and load are equal. Times are epoch seconds.
    """

    version: str | None = None
    started_at: float | None = None
    shutting_down: bool | None = None
    accepting_work: bool | None = None
    running_jobs: int | None = None
    limits: ConductorLimits | None = None
    pressure_level: str | None = None
    rate_limits: tuple[RateLimit, ...] | None = None
    memory_mb: float | None = field(default=None, compare=False)
    host_memory_total_mb: float | None = field(default=None, compare=False)
    host_memory_available_mb: float | None = field(default=None, compare=False)
    load_averages: tuple[float, float, float] | None = field(default=None, compare=False)


def rename_event(name: str) -> str:
    """Return a usable name for a conductor's event: not that of an event of this server."""
    return UNNAMED_EVENT if name == STALLED_EVENT else name
