"""What the parts of the server hand to each other: jobs and events, as told.

Nothing here asks anybody for anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

StateSourceName = Literal["conductor", "registry", "json", "redis", "none"]

# A newer conductor may know more statuses: an unknown one is passed on, and is not terminal.
TERMINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})

# A sheet in one of these is at work: the lowest of them is the current sheet.
ACTIVE_SHEET_STATUSES = frozenset({"dispatched", "in_progress"})


def format_iso_time(epoch_s: float | None) -> str | None:
    """Epoch seconds as ISO 8601 in UTC with milliseconds and a `Z`; None for no time at all.

    A number that no calendar has a time for is no time, either.
    """
    if epoch_s is None:
        return None
    try:
        text = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None
    return text.replace("+00:00", "Z")


def is_same_time(one: float | None, other: float | None) -> bool:
    """Whether two times are one: conductor and registry write it down some microseconds apart."""
    return abs((one or 0.0) - (other or 0.0)) < 0.1


@dataclass(frozen=True, slots=True)
class Sheet:
    """One step of a score, as far as a viewer sees it."""

    number: Annotated[int, Field(description="Number of the sheet, from 1.")]
    status: Annotated[str, Field(description="Status of the sheet; unknown ones are passed on.")]
    instrument_name: Annotated[str | None, Field(description="What plays it.")] = None
    movement: Annotated[int | float | str | None, Field(description="The part it belongs to.")] = (
        None
    )
    error_message: Annotated[str | None, Field(description="Why it failed or was skipped.")] = None


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """One job as a roster has it: light, and right about the status.

    Times are epoch seconds. The sheet counts are None where the source does not tell them, and
    `completed_at` is for as long as the job is not over.
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
        """Whether the job is over, for as long as nobody runs it again."""
        return self.status in TERMINAL_STATUSES

    @property
    def is_active(self) -> bool:
        """True if the job runs or is about to: its state may change at any moment."""
        return not self.is_terminal and not self.status.startswith("paused")

    def is_same_submission(self, other: "RosterEntry") -> bool:
        """Return True if two entries are of the same submission."""
        return is_same_time(self.submitted_at, other.submitted_at)

    def is_same_run(self, other: "RosterEntry") -> bool:
        """Return True if two entries are of the same submission, and started at the same time."""
        return self.is_same_submission(other) and is_same_time(self.started_at, other.started_at)

    def is_same_run_and_status(self, other: "RosterEntry") -> bool:
        """Return True if two entries are of one run, at the same status."""
        return self.status == other.status and self.is_same_run(other)


@dataclass(frozen=True, slots=True)
class Roster:
    """All jobs that a source of state lists, at one moment.

    Attributes:
        entries: by job id.
        source: where they come from.
        live: True if the source is what the jobs run in, not what is left of it on disk.
        detail: why it is not live, in a sentence for clients; "" if that is not known.
        cost_s: how long the answer kept the conductor busy, in seconds; polling is spaced by it.
    """

    entries: Mapping[str, RosterEntry]
    source: StateSourceName
    live: bool
    detail: str = ""
    cost_s: float = field(default=0.0, compare=False)
    # What the ids of those jobs begin with of which that is not so, where only some are.
    unavailable_scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RosterDetails:
    """What is known of a job beyond its entry in the roster. Times are ISO 8601."""

    current_sheet: int | None = None
    updated_at: str | None = None
    last_progress_at: str | None = None


@dataclass(frozen=True, slots=True)
class JobState:
    """Everything known of one job at one moment.

    `checkpoint_status` is what the checkpoint alone says: while it differs, the state is never
    final. The paths are for the server alone and are never sent.
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
    # Whether a checkpoint of this run said it, and not the roster's entry alone.
    from_checkpoint: bool = field(default=False, compare=False)
    # Tells one run of an id from the next; the same from every source.
    run: str = ""
    completed_sheets: int = 0
    # How long the answer kept the conductor busy, in seconds.
    cost_s: float = field(default=0.0, compare=False)

    @property
    def is_terminal(self) -> bool:
        """Whether the status is one that a run ends with."""
        return self.status in TERMINAL_STATUSES

    @property
    def is_consistent(self) -> bool:
        """Whether the roster and the checkpoint agree."""
        return self.status == self.checkpoint_status

    @property
    def is_final(self) -> bool:
        """Whether the job is over and nothing contradicts it."""
        return self.is_terminal and self.is_consistent

    @property
    def progress_percent(self) -> float:
        """Completed sheets of all, 0.0 to 100.0, to one decimal."""
        if self.total_sheets <= 0:
            return 0.0
        return round(100.0 * self.completed_sheets / self.total_sheets, 1)

    @property
    def has_active_sheet(self) -> bool:
        """Whether any sheet is being played."""
        return any(sheet.status in ACTIVE_SHEET_STATUSES for sheet in self.sheets)


@dataclass(frozen=True, slots=True)
class RemotePosition:
    """Where an event stands on the timeline of another process.

    Attributes:
        source: the name of whose events that process tells.
        epoch: the process's.
        number: the event's number there.
    """

    source: str
    epoch: str
    number: int


@dataclass(frozen=True, slots=True)
class MonitorEvent:
    """One notification of the conductor's monitor.

    `params` are the notification's own, whole, as the JSON that the conductor wrote; `job_id` is ""
    for an event of the whole host. `place` is where it stands on another process's timeline, where
    that is what tells of it.
    """

    job_id: str
    event: str
    params: bytes
    remote_position: RemotePosition | None = None

    @property
    def may_change_state(self) -> bool:
        """Whether it says that a job's state may have changed, rather than that something moved."""
        return self.event.startswith(("job.", "sheet.", "baton."))

    @property
    def is_job_level(self) -> bool:
        """Whether it says that the job's own status may have changed."""
        return self.event.startswith("job.")
