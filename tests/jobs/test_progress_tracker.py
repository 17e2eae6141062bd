"""Changes that happened before this server looked are not taken for seen."""

import time

from marianne_stream.jobs.progress import ProgressTimes
from marianne_stream.jobs.progress_tracker import ProgressTracker, load_nothing
from marianne_stream.models import JobState, Sheet, format_iso_time


def make_state(submitted_at: float, status: str) -> JobState:
    return JobState(
        "a",
        "running",
        "conductor",
        live=True,
        checkpoint_status="running",
        sheets=(Sheet(1, status, attempt=1), Sheet(2, "pending")),
        submitted_at=format_iso_time(submitted_at),
        started_at=format_iso_time(submitted_at),
    )


async def test_end_before_the_server_started_is_unknown() -> None:
    tracker = ProgressTracker(ProgressTimes(), load_nothing)
    state = await tracker.update(make_state(time.time() - 5, "completed"))
    assert state.sheets[0].completed_at is None
    progress = tracker.refresh(state).progress
    assert progress is not None
    assert not progress.sees_changes


async def test_end_soon_after_the_submission_of_a_job_is_seen() -> None:
    progress = ProgressTimes()
    progress.began_at = time.time() - 60
    tracker = ProgressTracker(progress, load_nothing)
    before = round(time.time(), 3)
    state = await tracker.update(make_state(time.time() - 5, "completed"))
    ended_at = state.sheets[0].completed_at
    assert ended_at is not None
    assert ended_at >= before
