"""Payloads about recorded runs and events."""

from pydantic import Field

from marianne_stream.models import OptionalTime, is_false, is_none
from marianne_stream.schemas.event_schemas import TimelineEventData
from marianne_stream.schemas.job_schemas import WaitingJob
from marianne_stream.schemas.payload import Payload


class TransitionData(Payload):
    """A status that a sheet or the job was seen to take."""

    number: int = Field(description="Number of the sheet; 0 for the job.")
    status: str
    at: OptionalTime = Field(description="When it was seen, ISO 8601.")
    attempt: int | None = Field(default=None, exclude_if=is_none)
    backfilled: bool = Field(
        default=False,
        exclude_if=is_false,
        description="true if it happened earlier, while no server read the job; else absent.",
    )


class RunSheetData(Payload):
    """A sheet of a recorded run."""

    number: int
    status: str
    attempt: int | None = Field(default=None, exclude_if=is_none)
    started_at: OptionalTime = Field(
        default=None, description="Start of the span, ISO 8601; absent if it was not seen."
    )
    completed_at: OptionalTime = Field(
        default=None, description="End of the span, ISO 8601; absent if it was not seen."
    )
    observed: bool = Field(
        default=False,
        exclude_if=is_false,
        description="true if a time was seen by a server, not reported; else absent.",
    )
    estimated: bool = Field(
        default=False,
        exclude_if=is_false,
        description="true if the start was computed from the end and `work_s`; else absent.",
    )
    work_s: float | None = Field(
        default=None, exclude_if=is_none, description="Time of all attempts without waits, seconds."
    )
    error_code: str | None = Field(default=None, exclude_if=is_none)
    error_message: str | None = Field(
        default=None, exclude_if=is_none, description="The first 300 characters."
    )
    instrument_name: str | None = Field(default=None, exclude_if=is_none)
    movement: str | None = Field(default=None, exclude_if=is_none)


class RunSummary(Payload):
    """A recorded run of a job."""

    job_id: str
    run: str = Field(description="Name of the run: its time of submission.")
    status: str = Field(description="The last that was seen.")
    started_at: OptionalTime = Field(default=None, description="First start, ISO 8601.")
    completed_at: OptionalTime = Field(default=None, description="First end, ISO 8601.")
    total_sheets: int
    completed_sheets: int
    error_message: str | None = Field(
        default=None, exclude_if=is_none, description="In a list, the first 300 characters."
    )
    waited_s: float = Field(
        description="Time in which it was paused, only waited, or was over before a resume, until "
        "its end or last recorded change, in seconds."
    )
    estimated_cost: float | None = Field(default=None, exclude_if=is_none)
    input_tokens: int | None = Field(default=None, exclude_if=is_none)
    output_tokens: int | None = Field(default=None, exclude_if=is_none)


class RunData(RunSummary):
    """Response of `GET /api/jobs/{job_id}/runs/{run}`: a run with a page of its sheets."""

    sheets: tuple[RunSheetData, ...] = Field(description="In the order of their numbers.")
    transitions: tuple[TransitionData, ...] = Field(
        description="Those of the sheets on this page, and on the first page of the job, in the "
        "order in which they were seen; the last 5,000."
    )
    next: str | None = Field(description="Value of `after` for more sheets; null on the last page.")


class RunPage(Payload):
    """Response of `GET /api/jobs/{job_id}/runs`: recorded runs, newest first."""

    job_id: str
    runs: tuple[RunSummary, ...]
    next: str | None = Field(description="Value of `before` for older runs; null on the last page.")


class EventPage(Payload):
    """Response of `GET /api/jobs/{job_id}/events/list`: recorded events, newest first.

    A page has at most 1 MiB of events, or one that is larger.
    """

    job_id: str
    events: tuple[TimelineEventData, ...]
    next: str | None = Field(
        description="Value of `before` for older events; null on the last page."
    )


class EndedRun(Payload):
    """A run that has ended since the last visit."""

    job_id: str
    run: str
    status: str
    started_at: OptionalTime = None
    completed_at: OptionalTime = Field(
        default=None, description="First end, ISO 8601; absent if it was not seen."
    )
    duration_s: float | None = Field(
        default=None, exclude_if=is_none, description="From the first start to the end, seconds."
    )
    error_message: str | None = Field(default=None, exclude_if=is_none)


class StalledSheet(Payload):
    """A sheet that has stalled since the last visit."""

    job_id: str
    sheet: int
    at: OptionalTime


class SummaryData(Payload):
    """Response of `GET /api/summary`: what has happened since a time."""

    since: str = Field(description="ISO 8601.")
    until: str = Field(description="Time of the response, ISO 8601.")
    ended: tuple[EndedRun, ...] = Field(description="The last first.")
    waiting: tuple[WaitingJob, ...]
    stalled: tuple[StalledSheet, ...] = Field(description="The last first.")
    complete: bool = Field(
        description="false if more has ended or stalled than is listed, or if the server does not "
        "know of each running job whether it waits."
    )
