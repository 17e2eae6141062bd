"""Values that the packages exchange: jobs, sheets, rosters and events. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

StateSourceName = Literal["conductor", "registry", "json", "redis", "none"]

# A newer conductor may send other statuses: they are passed on, and are not terminal.
TERMINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})

# Statuses of an active sheet. The active sheet with the lowest number is the current sheet.
ACTIVE_SHEET_STATUSES = frozenset({"dispatched", "in_progress"})


def format_iso_time(epoch_s: float | None) -> str | None:
    """Format epoch seconds as ISO 8601 in UTC with milliseconds and a `Z`.

    Return None without a time, or if the time is outside of the calendar.
    """
    if epoch_s is None:
        return None
    try:
        text = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None
    return text.replace("+00:00", "Z")


def parse_iso_time(value: object) -> object:
    """Return the epoch seconds of a time as it is sent, and any other value unchanged."""
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value


def is_same_time(one: float | None, other: float | None) -> bool:
    """Return whether two times are within 0.1 s; conductor and registry differ by microseconds."""
    return abs((one or 0.0) - (other or 0.0)) < 0.1


def is_none(value: object) -> bool:
    """Return whether an optional field is left out of the JSON."""
    return value is None


def is_false(value: object) -> bool:
    """Return whether a flag is left out of the JSON."""
    return value is False


# A time in epoch seconds, sent as ISO 8601 if it is known.
OptionalTime = Annotated[
    float | None,
    BeforeValidator(parse_iso_time),
    PlainSerializer(format_iso_time, return_type=str | None),
    Field(exclude_if=is_none),
]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A step of a job, as clients see it. Times are epoch seconds, and sent as ISO 8601."""

    number: Annotated[int, Field(description="Number of the sheet, from 1.")]
    status: Annotated[str, Field(description="Status of the sheet; unknown ones are passed on.")]
    instrument_name: Annotated[
        str | None, Field(description="Instrument that executes the sheet.")
    ] = None
    movement: Annotated[
        int | float | str | None, Field(description="Movement that the sheet belongs to.")
    ] = None
    error_message: Annotated[
        str | None,
        Field(description="Reason why the sheet failed or was skipped, at most 300 characters."),
    ] = None
    error_truncated: Annotated[
        bool,
        Field(exclude_if=is_false, description="true if the reason is longer, else absent."),
    ] = False
    error_code: Annotated[
        str | None, Field(exclude_if=is_none, description="Code of the error; absent if unknown.")
    ] = None
    attempt: Annotated[
        int | None,
        Field(
            exclude_if=is_none,
            description="Number of the last attempt, from 1; absent before the first.",
        ),
    ] = None
    started_at: Annotated[
        OptionalTime,
        Field(description="Start of the first attempt, ISO 8601; absent if unknown."),
    ] = None
    completed_at: Annotated[
        OptionalTime, Field(description="End of the last attempt, ISO 8601; absent if unknown.")
    ] = None
    waiting_until: Annotated[
        OptionalTime,
        Field(description="End of a rate limit or start of a retry, ISO 8601; absent if unknown."),
    ] = None
    observed: Annotated[
        bool,
        Field(
            exclude_if=is_false,
            description="true if a time was seen by this server, not by the conductor; else "
            "absent.",
        ),
    ] = False
    estimated: Annotated[
        bool,
        Field(
            exclude_if=is_false,
            description="true if the start was computed from the end and the time at work; else "
            "absent.",
        ),
    ] = False
    # For the server only: time at work in all attempts, and the timeout, in seconds.
    work_s: Annotated[float | None, Field(exclude=True)] = None
    timeout_s: Annotated[float | None, Field(exclude=True)] = None


WaitingCode = Literal["queued", "rate_limited", "retry", "person", "paused", "paused_at_chain"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Reason why a job waits."""

    code: WaitingCode
    detail: Annotated[str, Field(description="The same in a sentence.")]
    sheet: Annotated[
        int | None, Field(exclude_if=is_none, description="Sheet that waits; absent for the job.")
    ] = None
    until: Annotated[
        OptionalTime, Field(description="When it goes on, ISO 8601; absent if unknown.")
    ] = None
    since: Annotated[
        OptionalTime, Field(description="When it began to wait, ISO 8601; absent if unknown.")
    ] = None


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook that the conductor has executed after a job."""

    hook_type: Annotated[str, Field(description="`run_job`, `run_command` or `run_script`.")]
    success: bool
    description: Annotated[
        str | None,
        Field(exclude_if=is_none, description="Only for tokens that may see all jobs."),
    ] = None
    error_message: Annotated[
        str | None,
        Field(exclude_if=is_none, description="Only for tokens that may see all jobs."),
    ] = None
    chained_job_id: Annotated[
        str | None,
        Field(
            exclude_if=is_none,
            description="Job that the hook has started; only for tokens that may see all jobs.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """A job's entry in the roster: small, and correct about the status.

    Times are epoch seconds. The sheet counts are None if the backend does not report them, and
    `completed_at` is None until the job has ended.
    """

    job_id: str
    status: str
    submitted_at: float | None = None
    started_at: float | None = None
    completed_sheets: int | None = None
    total_sheets: int | None = None
    workspace: str | None = None
    completed_at: float | None = None
    error_message: str | None = None

    @property
    def is_terminal(self) -> bool:
        """Return whether the job has ended; a resume can make it active again."""
        return self.status in TERMINAL_STATUSES

    @property
    def is_active(self) -> bool:
        """Return whether the job runs or is about to: its state may change at any moment."""
        return not self.is_terminal and not self.status.startswith("paused")

    def is_same_submission(self, other: "RosterEntry") -> bool:
        """Return whether two entries are of the same submission."""
        return is_same_time(self.submitted_at, other.submitted_at)

    def is_same_run(self, other: "RosterEntry") -> bool:
        """Return whether two entries are of the same submission and have the same start."""
        return self.is_same_submission(other) and is_same_time(self.started_at, other.started_at)

    def is_same_run_and_status(self, other: "RosterEntry") -> bool:
        """Return whether two entries are of the same run and have the same status."""
        return self.status == other.status and self.is_same_run(other)


@dataclass(frozen=True, slots=True)
class Roster:
    """All jobs that a backend lists at one moment.

    Attributes:
        live: True if the conductor itself listed them; False for its files on disk.
        detail: reason why the roster is not live, in a sentence for clients; "" if it is unknown.
        cost_s: time that the conductor spent on the response, in seconds; polling is spaced by it.
        unavailable_scopes: prefixes of the ids whose source is unavailable, if only some sources
            are.
    """

    entries: Mapping[str, RosterEntry]
    source: StateSourceName
    live: bool
    detail: str = ""
    cost_s: float = field(default=0.0, compare=False)
    unavailable_scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RosterDetails:
    """Details of a job that its roster entry does not have. Times are ISO 8601."""

    current_sheet: int | None = None
    updated_at: str | None = None
    last_progress_at: str | None = None
    started_at: str | None = None
    waited_s: float | None = None
    waiting: Waiting | None = None
    eta_at: str | None = None
    stalled: tuple[int, ...] = ()
    error_message: str | None = None
    estimated_cost: float | None = None
    active_sheets: int = 0


@dataclass(frozen=True, slots=True)
class RunTimes:
    """Times of a run, in epoch seconds.

    Attributes:
        run: name of the run.
        submitted_at: time of its submission.
        started_at: first start that was reported; a resume does not change it. None before it.
        completed_at: first end that was reported or seen; None while the run goes on.
        waited_s: time of its finished waits since its start, in seconds.
        waiting_since: beginning of its present wait, or its end; None while it works.
        measured_sheets: number of completed sheets when that number was last seen to rise.
        measured_s: time in which the run had worked then, in seconds.
    """

    run: str
    submitted_at: float
    started_at: float | None = None
    completed_at: float | None = None
    waited_s: float = 0.0
    waiting_since: float | None = None
    measured_sheets: int = 0
    measured_s: float = 0.0


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Progress of a job, as this server has seen it. Times are epoch seconds.

    Attributes:
        times: times of the run; None if the time of submission is unknown.
        last_progress_at: last change of status, counts or a sheet that was seen.
        last_activity_at: last sign of life: progress, a write to the log, a file event.
        eta_at: estimated end; None if there is no estimate, or the job has taken longer.
        stalled: numbers of the running sheets without a recent sign of life.
        sees_changes: False if changes before this state may have happened unseen.
        limited_until: end of the rate limit of the waiting sheet's instrument, if it is known.
        clone: name of the conductor's clone that has the job, or ""; None if it is no clone.
    """

    times: RunTimes | None = None
    last_progress_at: float | None = None
    last_activity_at: float | None = None
    eta_at: float | None = None
    stalled: tuple[int, ...] = ()
    sees_changes: bool = False
    limited_until: float | None = None
    clone: str | None = None


@dataclass(frozen=True, slots=True)
class JobState:
    """The state of one job at one moment.

    `checkpoint_status` is the status in the checkpoint: while it differs from `status`, the state
    is not final. Of the paths, `workspace` and `score_path` are sent to clients that may see all
    jobs; the others are never sent.
    """

    job_id: str
    status: str
    source: StateSourceName
    live: bool
    checkpoint_status: str
    job_name: str | None = None
    sheets: tuple[Sheet, ...] = ()
    total_sheets: int = 0
    current_sheet: int | None = None
    error_message: str | None = None
    submitted_at: str | None = None
    created_at: str | None = None
    started_at: str | None = None
    updated_at: str | None = None
    completed_at: str | None = None
    workspace: str | None = field(default=None, compare=False)
    worktree_path: str | None = field(default=None, compare=False)
    snapshot_path: str | None = field(default=None, compare=False)
    score_path: str | None = field(default=None, compare=False)
    # On an edge, the id of the job at its conductor, if it is another one.
    origin_job_id: str = field(default="", compare=False)
    # In US dollars, as the conductor estimates it. None unless above 0, and so are the tokens.
    estimated_cost: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    hooks: tuple[Hook, ...] = ()
    # False if the state was made from the roster entry alone, without a checkpoint of this run.
    from_checkpoint: bool = field(default=False, compare=False)
    # Identifies the run of a job id; the same from every backend.
    run: str = ""
    completed_sheets: int = 0
    # None until a watcher adds it.
    progress: JobProgress | None = field(default=None, compare=False)
    # Time that the conductor spent on the response, in seconds.
    cost_s: float = field(default=0.0, compare=False)

    @property
    def is_terminal(self) -> bool:
        """Return whether a run ends with this status."""
        return self.status in TERMINAL_STATUSES

    @property
    def is_consistent(self) -> bool:
        """Return whether the roster and the checkpoint have the same status."""
        return self.status == self.checkpoint_status

    @property
    def is_final(self) -> bool:
        """Return whether the job has ended, and roster and checkpoint agree about it."""
        return self.is_terminal and self.is_consistent

    @property
    def progress_percent(self) -> float:
        """Return the share of completed sheets, from 0.0 to 100.0, rounded to one decimal."""
        if self.total_sheets <= 0:
            return 0.0
        return round(100.0 * self.completed_sheets / self.total_sheets, 1)

    @property
    def has_active_sheet(self) -> bool:
        """Return whether any sheet is being executed."""
        return any(sheet.status in ACTIVE_SHEET_STATUSES for sheet in self.sheets)


@dataclass(frozen=True, slots=True)
class RemotePosition:
    """Position of an event in the event buffer of another process."""

    source: str
    epoch: str
    number: int


@dataclass(frozen=True, slots=True)
class MonitorEvent:
    """An event of the conductor, or one that this server adds.

    Attributes:
        job_id: job that the event is about; "" for the whole host.
        params: parameters of the notification, as the JSON that the conductor wrote.
        remote_position: position in another process's buffer; None if it came from the conductor.
    """

    job_id: str
    event: str
    params: bytes
    remote_position: RemotePosition | None = None

    @property
    def may_change_state(self) -> bool:
        """Return whether the event announces a possible change of a job's state."""
        return self.event.startswith(("job.", "sheet.", "baton."))

    @property
    def is_job_level(self) -> bool:
        """Return whether the event announces a possible change of the job's own status."""
        return self.event.startswith("job.")
