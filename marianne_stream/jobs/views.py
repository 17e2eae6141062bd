"""What viewers see, encoded once for all of them: of one job, and of the roster.

A view is a moment; what changed between two of them is a frame, made when the first viewer needs it
and kept for the others. It must not know who the viewers are.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Self

from pydantic import TypeAdapter

from marianne_stream.models import (
    JobState,
    Roster,
    RosterDetails,
    RosterEntry,
    Sheet,
    SourceName,
)
from marianne_stream.payloads import (
    JobDeletedData,
    JobFinishedData,
    JobSheetsData,
    JobStatusData,
    JobSummary,
    RosterData,
    SourceData,
    StreamErrorData,
)
from marianne_stream.wire import sse
from marianne_stream.wire.cursors import RosterCursor, StatusCursor, digest
from marianne_stream.wire.job_patterns import JobPatterns

SHEETS = TypeAdapter(tuple[Sheet, ...])
SUMMARIES = TypeAdapter(tuple[JobSummary, ...])

# A change of these alone is no event: they go with the next one.
TIMES = ("updated_at", "last_progress_at")

# What a client waits before it connects again after a fault of ours.
FAULT_RETRY_MS = 10_000

End = Literal["", "finished", "deleted", "fault"]


class View(ABC):
    """What is seen at one moment; the frames that lead to it are made once, and kept for others.

    Args:
        source: where state comes from now; "none" while what is shown is only the last known.
        live: whether the conductor itself said it.
        cursor: digest of all that is seen, the source and times of writing aside.
        end: why the viewers' streams end with this view, "" while they go on.
        detail: why state does not come from the conductor, a sentence; "" if that is not known.

    Attributes:
        identity: all of them together.
        moment: the same, and what besides tells this view from one that looks the same.
        job_id: the job that it shows; None for a view of several.
    """

    job_id: str | None = None

    def __init__(
        self, *, source: SourceName, live: bool, cursor: str, end: End = "", detail: str = ""
    ) -> None:
        self.source = source
        self.live = live
        self.cursor = cursor
        self.end = end
        self.detail = detail
        self.identity = (cursor, source, live, end, detail)
        self.moment: object = self.identity
        self._changes: dict[object, sse.Frames] = {}

    def same(self, other: Self) -> bool:
        """Whether a viewer sees no difference at all."""
        return self.identity == other.identity

    def since(self, seen: Self | None) -> sse.Frames:
        """The frames that take a viewer from what was seen, None for nothing yet, to this view."""
        key = None if seen is None else seen.moment
        frames = self._changes.get(key)
        if frames is None:
            frames = self._changes[key] = sse.Frames(self._encode(seen))
        return frames

    def tells_source(self, seen: Self | None) -> bool:
        """Whether the viewer is to be told where state comes from."""
        now = (self.source, self.live, self.detail)
        return seen is None or now != (seen.source, seen.live, seen.detail)

    def _source_frame(self) -> bytes:
        return source_frame(self.job_id, self.source, live=self.live, detail=self.detail)

    @abstractmethod
    def _encode(self, seen: Self | None) -> bytes:
        """Makes the frames that `since` gives."""


class JobView(View):
    """One job as its viewers see it at one moment.

    Its cursor is the same in every process, and another one for another run.

    Args:
        state: what is known of the job.
        source: where state comes from now; "none" while `state` is only the last known.
        live: whether the conductor itself said it.
        end: why the viewers' streams end with this view, "" while they go on.
        detail: why state does not come from the conductor.
        last_progress_at: when the job was last seen to change, ISO 8601.

    Attributes:
        visible: the data of its `job_status`.
        shown: the same as JSON, without the times that are no difference by themselves.
    """

    def __init__(  # noqa: PLR0913
        self,
        state: JobState,
        *,
        source: SourceName,
        live: bool,
        end: End = "",
        detail: str = "",
        last_progress_at: str | None = None,
    ) -> None:
        self.state = state
        self.job_id = state.job_id
        self.visible = JobStatusData.of(state, last_progress_at)
        untimed = self.visible.model_copy(update=dict.fromkeys(TIMES))
        self.shown = untimed.json_bytes()
        content = (state.run.encode(), self.shown, SHEETS.dump_json(state.sheets))
        cursor = digest(b"\0".join(content))
        super().__init__(source=source, live=live, cursor=cursor, end=end, detail=detail)

    @property
    def sheet_run(self) -> tuple[str, tuple[int, ...]]:
        """The run, and which sheets it has."""
        return self.state.run, tuple(sheet.number for sheet in self.state.sheets)

    def same_state(self, other: "JobView") -> bool:
        """Whether a viewer sees no difference in the job itself."""
        return self.cursor == other.cursor

    def resumed(self) -> bytes:
        """The frames for one who has seen this state: where it comes from, and an end."""
        return self._source_frame() + self._end_frame()

    def _encode(self, seen: "JobView | None") -> bytes:
        frames = b""
        if self.tells_source(seen):
            frames += self._source_frame()
        if seen is None or not self.same_state(seen):
            frames += self._state_frames(seen)
        if seen is None or self.end != seen.end:
            frames += self._end_frame()
        return frames

    def _state_frames(self, seen: "JobView | None") -> bytes:
        """`job_status`, `job_sheets` or both; the last of them bears the id."""
        # What was seen of another run, or of other sheets, is not to be added to.
        known = seen if seen is not None and seen.sheet_run == self.sheet_run else None
        before = set(known.state.sheets) if known is not None else set()
        sheets = tuple(sheet for sheet in self.state.sheets if sheet not in before)
        cursor = str(StatusCursor("s", self.cursor))
        frames = b""
        send_sheets = bool(sheets) or known is None
        if known is None or self.shown != known.shown or not send_sheets:
            event_id = "" if send_sheets else cursor
            frames += sse.frame(self.visible.json_bytes(), event="job_status", event_id=event_id)
        if send_sheets:
            data = JobSheetsData(job_id=self.state.job_id, complete=known is None, sheets=sheets)
            frames += sse.frame(data.json_bytes(), event="job_sheets", event_id=cursor)
        return frames

    def _end_frame(self) -> bytes:
        job_id = self.state.job_id
        if self.end == "finished":
            finished = JobFinishedData(job_id=job_id, final_status=self.state.status)
            cursor = str(StatusCursor("f", self.cursor))
            return sse.frame(finished.json_bytes(), event="job_finished", event_id=cursor)
        if self.end == "deleted":
            return sse.frame(JobDeletedData(job_id=job_id).json_bytes(), event="job_deleted")
        if self.end == "fault":
            return error_frame("The server failed to read this job.", "internal_error")
        return b""


class RosterView(View):
    """All jobs as the viewers of the roster see them at one moment.

    The times of a job's last change are no difference by themselves; they go with the next one.

    Args:
        roster: what a source of state said.
        details: what is known of some of the jobs besides.
        before: an earlier view, of which everything is taken over that is still so.

    Attributes:
        jobs: by id, the newest first.
    """

    def __init__(
        self,
        roster: Roster,
        details: Mapping[str, RosterDetails],
        before: "RosterView | None" = None,
    ) -> None:
        self.roster = roster
        self._details = details
        self._parts: dict[JobPatterns, RosterView] = {}
        entries = sorted(roster.entries.values(), key=newest_first)
        self.jobs = {
            entry.job_id: (before and before.summary(entry, details.get(entry.job_id)))
            or JobSummary.of(entry, details.get(entry.job_id))
            for entry in entries
        }
        jobs = tuple(self.jobs.values())
        cursor = digest(SUMMARIES.dump_json(jobs, exclude={"__all__": set(TIMES)}))
        super().__init__(
            source=roster.source, live=roster.live, cursor=cursor, detail=roster.detail
        )
        times = tuple((job.updated_at, job.last_progress_at) for job in jobs)
        self.moment = (self.identity, hash(times))

    def summary(self, entry: RosterEntry, details: RosterDetails | None) -> JobSummary | None:
        """What a viewer sees of a job of which just this is known; None where it is not."""
        job_id = entry.job_id
        if self.roster.entries.get(job_id) != entry or self._details.get(job_id) != details:
            return None
        return self.jobs.get(job_id)

    def of(self, jobs: JobPatterns) -> "RosterView":
        """The same moment for one who may see these jobs; made once for all who may."""
        if jobs.all_jobs:
            return self
        view = self._parts.get(jobs)
        if view is None:
            entries = {i: entry for i, entry in self.roster.entries.items() if jobs(i)}
            live = self.roster.live or not any(map(jobs.may_match, self.roster.away or ("",)))
            view = self._parts[jobs] = RosterView(
                replace(self.roster, entries=entries, live=live), self._details, self
            )
        return view

    def resumed(self) -> bytes:
        """The frames for a viewer who has seen these entries before: where they come from."""
        return self._source_frame()

    def _encode(self, seen: "RosterView | None") -> bytes:
        frames = b""
        if self.tells_source(seen):
            frames += self._source_frame()
        if seen is None or self.cursor != seen.cursor:
            known = {} if seen is None else seen.jobs
            data = RosterData(
                complete=seen is None,
                jobs=tuple(job for job in self.jobs.values() if known.get(job.job_id) != job),
                removed=tuple(job_id for job_id in known if job_id not in self.jobs),
            )
            cursor = str(RosterCursor(self.cursor))
            frames += sse.frame(data.json_bytes(), event="roster", event_id=cursor)
        return frames


def newest_first(entry: RosterEntry) -> tuple[float, str]:
    """The order of the roster: by submission, the newest first, then by id."""
    return (-(entry.submitted_at or 0.0), entry.job_id)


def source_frame(
    job_id: str | None, source: SourceName, *, live: bool, detail: str = "", event_id: str = ""
) -> bytes:
    """Make a `source` event. It has an id only if it is a position that has no other."""
    data = SourceData(job_id=job_id, source=source, live=live, detail=detail or None)
    return sse.frame(data.json_bytes(), event="source", event_id=event_id)


def error_frame(error: str, error_type: str) -> bytes:
    """A `stream_error` event, behind a field that asks the client to take its time."""
    data = StreamErrorData(error=error, error_type=error_type)
    return sse.retry(FAULT_RETRY_MS) + sse.frame(data.json_bytes(), event="stream_error")
