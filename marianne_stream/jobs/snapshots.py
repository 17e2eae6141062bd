"""Snapshots of a job and of the roster, encoded once for all clients.

The frames that lead from one snapshot to another are made when the first client needs them, and
kept for the others.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import TypeAdapter

from marianne_stream.jobs.conductor_view import (
    ConductorView,
    make_conductor_frames,
    restrict_views,
)
from marianne_stream.jobs.job_data import make_status_data
from marianne_stream.models import (
    ACTIVE_SHEET_STATUSES,
    JobState,
    Roster,
    RosterDetails,
    RosterEntry,
    Sheet,
    StateSourceName,
)
from marianne_stream.schemas.event_schemas import SourceData, StreamErrorData
from marianne_stream.schemas.job_schemas import (
    JobDeletedData,
    JobFinishedData,
    JobSheetsData,
    JobSummary,
    RosterData,
)
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import RosterCursor, StatusCursor, state_digest
from marianne_stream.wire.job_patterns import JobPatterns

SHEETS_ADAPTER = TypeAdapter(tuple[Sheet, ...])
SUMMARIES_ADAPTER = TypeAdapter(tuple[JobSummary, ...])

# Fields that do not count for a cursor: their values depend on the changes that a process has seen.
# A change of these alone is sent with the next event, except of `stalled` and, in the roster, of
# those that the watcher of a job reads after the roster has shown its new status.
UNCOUNTED_SUMMARY_FIELDS: dict[str, Any] = {
    "updated_at": True,
    "last_progress_at": True,
    "started_at": True,
    "waited_s": True,
    "waiting": {"since"},
    "eta_at": True,
    "stalled": True,
}
UNCOUNTED_FIELDS = UNCOUNTED_SUMMARY_FIELDS | dict.fromkeys(
    ("last_activity_at", "completed_at", "workspace", "score_path"), True
)
UNCOUNTED_SHEET_FIELDS = {"started_at", "completed_at", "observed", "estimated"}

# Reconnect delay of clients after an internal error.
ERROR_RETRY_MS = 10_000

SnapshotEnd = Literal["", "finished", "deleted", "fault"]


class Snapshot(ABC):
    """State at one moment, with cached frames that lead to it.

    Args:
        source: current source of state; "none" if only the last known state is shown.
        cursor: digest of the content, without source and times of writing.
        end: reason why streams end with this snapshot; "" if they go on.
        detail: sentence that says why the conductor is not the source; "" if unknown.

    Attributes:
        cache_key: distinguishes snapshots with equal identity and different times.
        job_id: the job; None for a snapshot of several.
    """

    job_id: str | None = None

    def __init__(
        self,
        *,
        source: StateSourceName,
        live: bool,
        cursor: str,
        end: SnapshotEnd = "",
        detail: str = "",
    ) -> None:
        self.source = source
        self.live = live
        self.cursor = cursor
        self.end = end
        self.detail = detail
        self.identity: tuple[object, ...] = (cursor, source, live, end, detail)
        self.cache_key: object = self.identity
        self._diffs: dict[object, sse.EncodedFrames] = {}

    def is_same(self, other: Self) -> bool:
        """Return True if clients see no difference."""
        return self.identity == other.identity

    def diff_from(self, previous: Self | None) -> sse.EncodedFrames:
        """Return the frames that lead a client from a previous snapshot, or none, to this one."""
        key = None if previous is None else previous.cache_key
        frames = self._diffs.get(key)
        if frames is None:
            now = (self.source, self.live, self.detail)
            source_frame = b""
            if previous is None or now != (previous.source, previous.live, previous.detail):
                source_frame = self._make_source_frame()
            content_frames = self._encode_content_diff(previous)
            frames = self._diffs[key] = sse.EncodedFrames(source_frame + content_frames)
        return frames

    def make_resume_frames(self) -> bytes:
        """Make the frames for a client that has seen this snapshot: its source."""
        return self._make_source_frame()

    def _make_source_frame(self) -> bytes:
        return make_source_frame(self.job_id, self.source, live=self.live, detail=self.detail)

    @abstractmethod
    def _encode_content_diff(self, previous: Self | None) -> bytes:
        """Encode the frames of `diff_from`, without that of the source."""


class JobSnapshot(Snapshot):
    """A job as its clients see it at one moment.

    The cursor is the same in every process and for all clients, and differs between runs. If
    `source` is "none", the state is the last known one.

    Attributes:
        status_data: data of its `job_status` event.
        status_json: the same as JSON, without UNCOUNTED_FIELDS.
    """

    def __init__(  # noqa: PLR0913
        self,
        state: JobState,
        *,
        source: StateSourceName,
        live: bool,
        end: SnapshotEnd = "",
        detail: str = "",
        without_paths: "JobSnapshot | None" = None,
    ) -> None:
        """Encode the state, or make a snapshot with paths of the host of one without them."""
        self.state = state
        self.job_id = state.job_id
        self.status_data = make_status_data(state, with_paths=without_paths is not None)
        if without_paths is None:
            self.status_json = self.status_data.model_dump_json(exclude=UNCOUNTED_FIELDS).encode()
            cursor = make_state_digest(state, self.status_json)
        else:
            self.status_json, cursor = without_paths.status_json, without_paths.cursor
        super().__init__(source=source, live=live, cursor=cursor, end=end, detail=detail)
        self.identity = (*self.identity, self.status_data.stalled)
        self.cache_key = self.identity
        self._with_paths = self if without_paths is not None else None

    def show_paths(self) -> "JobSnapshot":
        """Return the snapshot for clients that may see paths of the host."""
        if self._with_paths is None:
            self._with_paths = JobSnapshot(
                self.state,
                source=self.source,
                live=self.live,
                end=self.end,
                detail=self.detail,
                without_paths=self,
            )
        return self._with_paths

    @cached_property
    def active_sheets(self) -> int:
        """Number of sheets at work: counted once, since the roster asks at each of its changes."""
        return sum(sheet.status in ACTIVE_SHEET_STATUSES for sheet in self.state.sheets)

    @property
    def sheet_key(self) -> tuple[str, tuple[int, ...]]:
        """The run, and the numbers of its sheets."""
        return self.state.run, tuple(sheet.number for sheet in self.state.sheets)

    def is_same_state(self, other: "JobSnapshot") -> bool:
        """Return True if clients see no difference in the job itself."""
        return self.cursor == other.cursor

    def make_resume_frames(self) -> bytes:
        """Make the frames for a client that has seen this state: its source, and the end."""
        return super().make_resume_frames() + self._make_end_frame()

    def _encode_content_diff(self, previous: "JobSnapshot | None") -> bytes:
        frames = b""
        if (
            previous is None
            or not self.is_same_state(previous)
            or self.status_data.stalled != previous.status_data.stalled
        ):
            frames += self._make_state_frames(previous)
        if previous is None or self.end != previous.end:
            frames += self._make_end_frame()
        return frames

    def _make_state_frames(self, previous: "JobSnapshot | None") -> bytes:
        """Make `job_status`, `job_sheets` or both; the last of them has the id."""
        # Sheets of another run, or with other numbers, are sent as a complete list.
        known = previous if previous is not None and previous.sheet_key == self.sheet_key else None
        before = set(known.state.sheets) if known is not None else set()
        sheets = tuple(sheet for sheet in self.state.sheets if sheet not in before)
        cursor = str(StatusCursor("s", self.cursor))
        frames = b""
        send_sheets = bool(sheets) or known is None
        if known is None or self.status_key != known.status_key or not send_sheets:
            event_id = "" if send_sheets else cursor
            frames += sse.frame(
                self.status_data.json_bytes(), event="job_status", event_id=event_id
            )
        if send_sheets:
            data = JobSheetsData(job_id=self.state.job_id, complete=known is None, sheets=sheets)
            frames += sse.frame(data.json_bytes(), event="job_sheets", event_id=cursor)
        return frames

    @property
    def status_key(self) -> tuple[bytes, float | None, float | None]:
        """Value that changes if `job_status` must be sent: also if a wait begins or ends."""
        waiting = self.status_data.waiting
        since = waiting.since if waiting is not None else None
        return self.status_json, self.status_data.waited_s, since

    def _make_end_frame(self) -> bytes:
        job_id = self.state.job_id
        if self.end == "finished":
            finished = JobFinishedData(job_id=job_id, final_status=self.state.status)
            cursor = str(StatusCursor("f", self.cursor))
            return sse.frame(finished.json_bytes(), event="job_finished", event_id=cursor)
        if self.end == "deleted":
            return sse.frame(JobDeletedData(job_id=job_id).json_bytes(), event="job_deleted")
        if self.end == "fault":
            return make_error_frame("The server failed to read this job.", "internal_error")
        return b""


class RosterSnapshot(Snapshot):
    """All jobs as the clients of the roster see them at one moment, newest first.

    A change of the times in UNCOUNTED_SUMMARY_FIELDS alone is no difference, except of those in
    `noticed`. Unchanged summaries of `previous` are reused. The cursor does not count `conductors`.

    Attributes:
        noticed: uncounted facts of the jobs whose change is sent.
    """

    def __init__(
        self,
        roster: Roster,
        details: Mapping[str, RosterDetails],
        previous: "RosterSnapshot | None" = None,
        conductors: tuple[ConductorView, ...] = (),
    ) -> None:
        self.roster = roster
        self.conductors = conductors
        self._details = details
        self._restricted: dict[JobPatterns, RosterSnapshot] = {}
        entries = sorted(roster.entries.values(), key=newest_first_key)
        self.summaries = {
            entry.job_id: (previous and previous.get_summary(entry, details.get(entry.job_id)))
            or JobSummary.from_entry(entry, details.get(entry.job_id))
            for entry in entries
        }
        jobs = tuple(self.summaries.values())
        counted = SUMMARIES_ADAPTER.dump_json(jobs, exclude={"__all__": UNCOUNTED_SUMMARY_FIELDS})
        # The starts that the backend reports, in place of those that this server has seen.
        starts = ",".join(f"{entry.started_at or 0.0:.0f}" for entry in entries)
        cursor = state_digest(counted + starts.encode())
        super().__init__(
            source=roster.source, live=roster.live, cursor=cursor, detail=roster.detail
        )
        self.noticed = tuple(map(find_noticed, jobs))
        self.identity = (*self.identity, conductors, self.noticed)
        times = tuple((job.updated_at, job.last_progress_at, job.eta_at) for job in jobs)
        self.cache_key = (self.identity, hash(times))

    def get_summary(self, entry: RosterEntry, details: RosterDetails | None) -> JobSummary | None:
        """Return the summary of a job if its entry and details are unchanged, otherwise None."""
        job_id = entry.job_id
        if self.roster.entries.get(job_id) != entry or self._details.get(job_id) != details:
            return None
        return self.summaries.get(job_id)

    def restrict_to(self, patterns: JobPatterns) -> "RosterSnapshot":
        """Return the snapshot of the matching jobs, cached for all clients with these patterns."""
        if patterns.matches_all:
            return self
        snapshot = self._restricted.get(patterns)
        if snapshot is None:
            entries = {i: entry for i, entry in self.roster.entries.items() if patterns(i)}
            live = self.roster.live or not any(
                map(patterns.may_match_prefix, self.roster.unavailable_scopes or ("",))
            )
            snapshot = self._restricted[patterns] = RosterSnapshot(
                replace(self.roster, entries=entries, live=live),
                self._details,
                self,
                restrict_views(self.conductors, patterns),
            )
        return snapshot

    def make_resume_frames(self) -> bytes:
        """Make the frames for a client that has seen this roster: its source, and conductors."""
        return super().make_resume_frames() + make_conductor_frames(self.conductors)

    def _encode_content_diff(self, previous: "RosterSnapshot | None") -> bytes:
        known_conductors = previous.conductors if previous is not None else ()
        frames = make_conductor_frames(self.conductors, known_conductors)
        if previous is None or self.cursor != previous.cursor or self.noticed != previous.noticed:
            known = {} if previous is None else previous.summaries
            data = RosterData(
                complete=previous is None,
                jobs=tuple(job for job in self.summaries.values() if known.get(job.job_id) != job),
                removed=tuple(job_id for job_id in known if job_id not in self.summaries),
            )
            cursor = str(RosterCursor(self.cursor))
            frames += sse.frame(data.json_bytes(), event="roster", event_id=cursor)
        return frames


def make_state_digest(state: JobState, status_json: bytes) -> str:
    """Return the digest of a state with its sheets."""
    sheets = SHEETS_ADAPTER.dump_json(state.sheets, exclude={"__all__": UNCOUNTED_SHEET_FIELDS})
    return state_digest(b"\0".join((state.run.encode(), status_json, sheets)))


def find_noticed(job: JobSummary) -> tuple[object, ...]:
    """Return the facts of a job that do not count for a cursor, and whose change is sent."""
    since = job.waiting.since if job.waiting is not None else None
    return job.stalled, job.started_at, job.waited_s, since


def newest_first_key(entry: RosterEntry) -> tuple[float, str]:
    """Return the sort key of the roster: newest submission first, then by id."""
    return (-(entry.submitted_at or 0.0), entry.job_id)


def make_source_frame(
    job_id: str | None, source: StateSourceName, *, live: bool, detail: str = "", event_id: str = ""
) -> bytes:
    """Make a `source` event. It has an id only if it is a position of its own."""
    data = SourceData(job_id=job_id, source=source, live=live, detail=detail or None)
    return sse.frame(data.json_bytes(), event="source", event_id=event_id)


def make_error_frame(error: str, error_type: str) -> bytes:
    """Make a `stream_error` event, preceded by a reconnect delay."""
    data = StreamErrorData(error=error, error_type=error_type)
    return sse.retry(ERROR_RETRY_MS) + sse.frame(data.json_bytes(), event="stream_error")
