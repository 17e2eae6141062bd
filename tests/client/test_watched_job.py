"""Tests of a watched job's state and of exit codes."""

import pytest

from marianne_stream.client.api_models import JobBody, JobTimesBody, StatusBody
from marianne_stream.client.watched_job import (
    EXIT_CODES,
    EXIT_SEVERITY,
    WatchedJob,
    worst_exit_code,
)
from marianne_stream.errors import (
    AccessDeniedError,
    CliError,
    CliJobNotFoundError,
    ServerUnreachableError,
    SettingsError,
)
from marianne_stream.models import TERMINAL_STATUSES


def test_every_terminal_status_has_an_exit_code() -> None:
    assert set(EXIT_CODES) == TERMINAL_STATUSES


def test_every_exit_code_has_a_severity() -> None:
    errors = (
        AccessDeniedError,
        CliJobNotFoundError,
        SettingsError,
        CliError,
        ServerUnreachableError,
    )
    codes = {*EXIT_CODES.values(), *(error.exit_code for error in errors)}
    assert codes == set(EXIT_SEVERITY)


@pytest.mark.parametrize(
    ("codes", "one"), [([], 0), ([0, 4], 4), ([4, 1, 0], 1), ([1, 3], 3), ([3, 5, 1], 5)]
)
def test_worst_exit_code_of_several_jobs(codes: list[int], one: int) -> None:
    assert worst_exit_code(codes) == one


def test_roster_entry_without_end_time_ends_now() -> None:
    job = WatchedJob("a")
    job.apply_entry(JobBody("a", "running", started_at="1970-01-01T00:00:10Z"), now_s=20.0)
    assert job.duration_s(25.0) == 15.0
    job.apply_entry(JobBody("a", "completed", started_at="1970-01-01T00:00:10Z"), now_s=30.0)
    job.apply_entry(JobBody("a", "completed", started_at="1970-01-01T00:00:10Z"), now_s=40.0)
    assert job.duration_s(50.0) == 20.0


@pytest.mark.parametrize("sheet", [2, None])
def test_roster_entry_sets_current_sheet(sheet: int | None) -> None:
    job = WatchedJob("a", current_sheet=1)
    job.apply_entry(JobBody("a", "running", current_sheet=sheet), now_s=20.0)
    assert job.current_sheet == sheet


def test_roster_entry_end_time_replaces_estimate() -> None:
    job = WatchedJob("a")
    start, end = "1970-01-01T00:00:10Z", "1970-01-01T00:00:28Z"
    job.apply_entry(JobBody("a", "running", started_at=start), now_s=20.0)
    job.apply_entry(JobBody("a", "completed", started_at=start), now_s=30.0)
    job.apply_entry(JobBody("a", "completed", started_at=start, completed_at=end), now_s=40.0)
    assert job.duration_s(50.0) == 18.0


def test_duration_unknown_without_end_time() -> None:
    job = WatchedJob("a", status="completed", started_s=1.0)
    assert job.duration_s(50.0) is None


def test_fetched_end_time_replaces_estimate() -> None:
    job = WatchedJob("a")
    job.apply_status(StatusBody("running"), now_s=12.0)
    job.apply_times(JobTimesBody("1970-01-01T00:00:10Z"))
    assert job.duration_s(20.0) == 10.0
    job.apply_status(StatusBody("cancelled"), now_s=30.0)
    job.apply_times(JobTimesBody("1970-01-01T00:00:10Z"))
    assert job.duration_s(99.0) == 20.0
    job.apply_times(JobTimesBody("1970-01-01T00:00:10Z", "1970-01-01T00:00:25Z"))
    assert job.duration_s(99.0) == 15.0


def test_already_ended_job_has_no_duration_without_end_time() -> None:
    job = WatchedJob("a")
    job.apply_status(StatusBody("cancelled"), now_s=30.0)
    job.apply_times(JobTimesBody("1970-01-01T00:00:10Z"))
    assert job.duration_s(99.0) is None
