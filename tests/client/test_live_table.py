"""Tests of the table of watched jobs, and of the choice of its rows."""

import io

import pytest
from rich.console import Console
from rich.theme import Theme

from marianne_stream.client.live_table import make_job_table, rank_job
from marianne_stream.client.output import STYLES
from marianne_stream.client.row_choice import choose_rows, count_statuses
from marianne_stream.client.watched_job import WatchedJob

LONG = "nightly-" + "very-" * 10 + "long-2026-11-28"


def draw(width: int, *jobs: WatchedJob) -> list[str]:
    """Return the lines of the table."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, theme=Theme(STYLES))
    console.print(make_job_table(jobs, 1000.0, width=width))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "has_bar", "has_sheet", "has_duration"),
    [
        (200, True, True, True),
        (90, True, True, True),
        (80, False, True, True),
        (64, False, True, True),
        (60, False, True, True),
        (50, False, False, True),
        (40, False, False, False),
    ],
)
def test_bars_go_first_and_status_and_count_stay(
    width: int,
    has_bar: bool,  # noqa: FBT001
    has_sheet: bool,  # noqa: FBT001
    has_duration: bool,  # noqa: FBT001
) -> None:
    job = WatchedJob(
        LONG,
        "paused_at_chain",
        completed_sheets=700,
        total_sheets=1000,
        current_sheet=8,
        started_s=100.0,
    )
    (line,) = draw(width, job)
    assert len(line) <= width
    assert "paused_at_chain" in line
    assert "700/1000" in line
    assert ("━" in line) is has_bar
    assert ("sheet 8" in line) is has_sheet
    assert ("15m 00s" in line) is has_duration


def test_wide_names_are_cut_by_their_columns() -> None:
    (line,) = draw(60, WatchedJob("苔の庭に水をまく" * 5, "running", total_sheets=3))
    assert "…" in line
    assert "running" in line


def test_failures_and_running_jobs_are_chosen_in_their_order() -> None:
    statuses = ["completed", "running", "queued", "failed", "paused", "running", "completed"]
    jobs = [WatchedJob(str(index), status) for index, status in enumerate(statuses)]
    jobs.append(WatchedJob("lost", "completed", problem="not found"))
    assert [job.job_id for job in choose_rows(jobs, 3, rank_job)] == ["1", "3", "lost"]
    assert [job.job_id for job in choose_rows(jobs, 5, rank_job)] == ["1", "3", "4", "5", "lost"]
    assert choose_rows(jobs, 8, rank_job) == jobs


def test_statuses_are_counted_in_words() -> None:
    statuses = ["running", "retry_scheduled", "running"]
    assert count_statuses(statuses) == "2 running, 1 retry scheduled"
