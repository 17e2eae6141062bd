"""Tests of a watched job's state and of exit codes."""

import pytest

from marianne_stream.client.api_models import JobBody, StatusBody
from marianne_stream.client.cli_errors import (
    AccessDeniedError,
    CliError,
    CliFileNotFoundError,
    CliJobNotFoundError,
    ServerUnreachableError,
)
from marianne_stream.client.run_span import RunSpan
from marianne_stream.client.watched_job import (
    EXIT_CODES,
    EXIT_SEVERITY,
    WatchedJob,
    worst_exit_code,
)
from marianne_stream.errors import SettingsError
from marianne_stream.models import TERMINAL_STATUSES


def test_every_terminal_status_has_an_exit_code() -> None:
    assert set(EXIT_CODES) == TERMINAL_STATUSES


def test_every_exit_code_has_a_severity() -> None:
    errors = (
        AccessDeniedError,
        CliJobNotFoundError,
        CliFileNotFoundError,
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
    job.apply(JobBody("a", "running", started_at="1970-01-01T00:00:10Z"), now_s=20.0)
    assert job.duration_s(25.0) == 15.0
    job.apply(JobBody("a", "completed", started_at="1970-01-01T00:00:10Z"), now_s=30.0)
    job.apply(JobBody("a", "completed", started_at="1970-01-01T00:00:10Z"), now_s=40.0)
    assert job.duration_s(50.0) == 20.0


@pytest.mark.parametrize("sheet", [2, None])
def test_roster_entry_sets_current_sheet(sheet: int | None) -> None:
    job = WatchedJob("a", current_sheet=1)
    job.apply(JobBody("a", "running", current_sheet=sheet), now_s=20.0)
    assert job.current_sheet == sheet


def test_roster_entry_end_time_replaces_estimate() -> None:
    job = WatchedJob("a")
    start, end = "1970-01-01T00:00:10Z", "1970-01-01T00:00:28Z"
    job.apply(JobBody("a", "running", started_at=start), now_s=20.0)
    job.apply(JobBody("a", "completed", started_at=start), now_s=30.0)
    job.apply(JobBody("a", "completed", started_at=start, completed_at=end), now_s=40.0)
    assert job.duration_s(50.0) == 18.0


def test_duration_unknown_without_end_time() -> None:
    job = WatchedJob("a", status="completed", span=RunSpan(1.0))
    assert job.duration_s(50.0) is None


def test_already_ended_job_has_no_duration_without_end_time() -> None:
    job = WatchedJob("a")
    job.apply(StatusBody("a", "cancelled", started_at="1970-01-01T00:00:10Z"), now_s=30.0)
    assert job.duration_s(99.0) is None


def test_status_event_has_times_and_the_command_to_go_on() -> None:
    job = WatchedJob("a")
    start, end = "1970-01-01T00:00:10Z", "1970-01-01T00:00:25Z"
    job.apply(StatusBody("a", "failed", start, end, resume_command="mzt resume a"), now_s=30.0)
    assert job.duration_s(99.0) == 15.0
    assert job.resume_command == "mzt resume a"


def test_duration_of_a_running_job_is_unknown_if_it_is_not_live() -> None:
    job = WatchedJob("a", status="running", span=RunSpan(1.0))
    assert job.duration_s(None) is None
