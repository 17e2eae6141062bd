"""Responses and events about a job, made from its state."""

from marianne_stream.jobs.waiting import find_waiting, resume_command
from marianne_stream.models import Hook, JobProgress, JobState, RunTimes, format_iso_time
from marianne_stream.schemas.job_schemas import JobDetail, JobStatusData

NO_TIMES = RunTimes(run="", submitted_at=0.0)


def make_status_data(state: JobState, *, with_paths: bool) -> JobStatusData:
    """Return the data of a `job_status` event.

    Args:
        state: the state.
        with_paths: True for clients that may see all jobs: the data has paths of the host, and the
            texts of hooks, which name other jobs and files.
    """
    progress = state.progress or JobProgress()
    times = progress.times or NO_TIMES
    return JobStatusData(
        job_id=state.job_id,
        status=state.status,
        progress_percent=state.progress_percent,
        completed_sheets=state.completed_sheets,
        total_sheets=state.total_sheets,
        current_sheet=state.current_sheet,
        error_message=state.error_message,
        updated_at=state.updated_at,
        last_progress_at=format_iso_time(progress.last_progress_at),
        run=times.run or None,
        started_at=format_iso_time(times.started_at),
        completed_at=format_iso_time(times.completed_at),
        waited_s=shown_waits_s(progress),
        last_activity_at=format_iso_time(progress.last_activity_at),
        eta_at=format_iso_time(progress.eta_at),
        stalled=progress.stalled,
        waiting=find_waiting(state),
        resume_command=resume_command(state),
        estimated_cost=state.estimated_cost,
        input_tokens=state.input_tokens,
        output_tokens=state.output_tokens,
        hooks=state.hooks if with_paths else tuple(map(without_texts, state.hooks)),
        workspace=state.workspace if with_paths else None,
        score_path=state.score_path if with_paths else None,
    )


def shown_waits_s(progress: JobProgress) -> float | None:
    """Return the time for which a run has waited, in seconds; None if its start is unknown."""
    times = progress.times
    return round(times.waited_s, 3) if times is not None and times.started_at is not None else None


def without_texts(hook: Hook) -> Hook:
    """Return a hook with its type and result alone."""
    return Hook(hook.hook_type, hook.success)


def make_job_detail(state: JobState, *, with_paths: bool) -> JobDetail:
    """Return the response about one job with its sheets."""
    status = make_status_data(state, with_paths=with_paths)
    fields = {name: getattr(status, name) for name in type(status).model_fields}
    fields["started_at"] = status.started_at or state.started_at
    # A job that runs again may have the end of its last execution in its checkpoint.
    ended_at = state.completed_at if state.is_terminal else None
    fields["completed_at"] = status.completed_at or ended_at
    return JobDetail(
        **fields,
        job_name=state.job_name,
        submitted_at=state.submitted_at,
        created_at=state.created_at,
        source=state.source,
        live=state.live,
        sheets=state.sheets,
    )
