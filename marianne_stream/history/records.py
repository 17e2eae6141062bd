"""Records of the history: runs, their sheets, transitions and events. Times are epoch seconds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Job and name of a run.
JobRun = tuple[str, str]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run of a job.

    Attributes:
        job_id: the job.
        run: time of submission as ISO 8601, rounded down to the second.
        submitted_at: time of submission in epoch seconds; values within a second are of one run.
        status: last status that was seen.
        started_at: first start that was seen; a resume does not change it.
        completed_at: first end that the conductor gave, or that was seen.
        total_sheets: number of its sheets.
        completed_sheets: number of those that were completed.
        error_message: reason why it failed.
        waited_s: time in which it was paused, only waited, or was over before a resume, until its
            end or `changed_at`, in seconds.
        estimated_cost: cost in US dollars as the conductor estimates it; None if it reports none.
        input_tokens: tokens that were sent to models; None if the conductor reports none.
        output_tokens: tokens that models have generated; None if the conductor reports none.
        changed_at: time of the last change that was recorded.
    """

    job_id: str
    run: str
    submitted_at: float
    status: str
    started_at: float | None
    completed_at: float | None
    total_sheets: int
    completed_sheets: int
    error_message: str | None
    waited_s: float
    estimated_cost: float | None
    input_tokens: int | None
    output_tokens: int | None
    changed_at: float


@dataclass(frozen=True, slots=True)
class SheetRecord:
    """A sheet of a run.

    Attributes:
        job_id: the job.
        run: the run, as in RunRecord.
        number: number of the sheet.
        status: last status that was seen.
        attempt: number of the last attempt, from 1; None before the first.
        started_at: beginning of the span; None if it was not seen.
        completed_at: end of the span; None if it was not seen, or has not come.
        observed: True if a time of the span was seen by this server, not given by the conductor.
        estimated: True if the beginning was computed from the end and `work_s`.
        work_s: time of all attempts without waits, in seconds; None if the conductor reports none.
        error_code: code of the error that the sheet failed with.
        error_message: its text, cut to 300 characters.
        instrument_name: instrument that executes the sheet.
        movement: movement that the sheet belongs to, as text.
    """

    job_id: str
    run: str
    number: int
    status: str
    attempt: int | None
    started_at: float | None
    completed_at: float | None
    observed: bool
    estimated: bool
    work_s: float | None
    error_code: str | None
    error_message: str | None
    instrument_name: str | None
    movement: str | None


class Transition(NamedTuple):
    """A status that a sheet or a job was seen to take.

    Attributes:
        job_id: the job.
        run: the run, as in RunRecord.
        number: number of the sheet; 0 for the job itself.
        seen_at: time at which it was seen.
        status: the new status.
        attempt: number of the attempt; None for a job.
        backfilled: True if it happened earlier, while no server read or recorded the job.
    """

    job_id: str
    run: str
    number: int
    seen_at: float
    status: str
    attempt: int | None
    backfilled: bool


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event as it was sent.

    Attributes:
        number: its number in this process.
        job_id: job that it is about; None for a gap.
        event: name as the conductor gave it; "" for a gap.
        data: its data as JSON.
        seen_at: time at which it was received.
    """

    number: int
    job_id: str | None
    event: str
    data: bytes
    seen_at: float


@dataclass(frozen=True, slots=True)
class WriteBatch:
    """Records that are written in one transaction."""

    runs: Iterable[RunRecord] = ()
    sheets: Iterable[SheetRecord] = ()
    transitions: Iterable[Transition] = ()
    events: Sequence[EventRecord] = ()


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run with its sheets by number, and its transitions in order."""

    run: RunRecord
    sheets: dict[int, SheetRecord] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
