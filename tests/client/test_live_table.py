"""Tests of the table of watched jobs, and of the choice of its rows."""

import io

import pytest
from rich.console import Console
from rich.theme import Theme

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import WaitingBody
from marianne_stream.client.live_table import LiveTable, make_job_table, rank_job
from marianne_stream.client.output import STYLES, Output
from marianne_stream.client.row_choice import choose_rows, count_statuses
from marianne_stream.client.run_span import RunSpan
from marianne_stream.client.sse_client import StreamEvent
from marianne_stream.client.watched_job import WatchedJob
from tests.support.screens import Screen
from tests.support.scripted_server import ScriptedServer, error_response

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
        span=RunSpan(100.0),
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
    assert count_statuses(statuses) == "2 running, 1 retry_scheduled"


def draw_display(
    client: ApiClient, *jobs: WatchedJob, columns: int = 80, **state: bool
) -> list[str]:
    """Return the lines of the whole display on 24 rows; `state` sets its attributes."""
    output = Output(Screen(), environ={"TERM": "xterm"}, colour="never")
    output.console.width, output.console.height = columns, 24
    display = LiveTable(output, client, empty_text="No job is running.")
    display.on_event(StreamEvent("source", {"source": "conductor", "live": True}, ""))
    for job in jobs:
        display.update(job)
    for name, value in state.items():
        setattr(display, name, value)
    with output.console.capture() as capture:
        output.console.print(display.draw())
    text = capture.get().replace("\x1b[2m", "").replace("\x1b[0m", "").replace("\x1b[1m", "")
    return [line.rstrip() for line in text.splitlines()]


def fail(number: int) -> WatchedJob:
    return WatchedJob(f"job-{number:02}", "failed", 1, 2, error=f"error {number}")


async def test_reasons_of_failures_and_waits_are_below_the_table() -> None:
    jobs = [
        WatchedJob(
            "held",
            "running",
            error="error 2",
            waiting=WaitingBody("A person must look.", code="person"),
        ),
        WatchedJob("idle", "paused", waiting=WaitingBody("The job is paused.", code="paused")),
        WatchedJob("stuck", "running", stalled=[2, 3]),
        fail(1),
    ]
    async with ScriptedServer(error_response(404)).run() as client:
        assert draw_display(client, *jobs)[4:] == [
            "job-01: error 1",
            "held: error 2",
            "held: A person must look.",
            "stuck: no sign of life from sheets 2, 3",
        ]


@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_errors_that_have_no_room_are_counted(columns: int) -> None:
    jobs = [fail(number) for number in range(30)]
    async with ScriptedServer(error_response(404)).run() as client:
        lines = draw_display(client, *jobs, columns=columns)
    assert len(lines) == 23
    assert max(map(len, lines)) <= columns
    assert [line.split()[:2] for line in lines[:15]] == [
        [f"job-{number:02}", "failed"] for number in range(15)
    ]
    assert lines[15:] == [
        *(f"job-{number:02}: error {number}" for number in range(6)),
        "and 24 more errors or waits",
        "and 15 more: 15 failed",
    ]


async def test_last_display_has_the_errors_of_all_failures() -> None:
    jobs = [fail(number) for number in range(15)]
    errors = [f"job-{number:02}: error {number}" for number in range(15)]
    async with ScriptedServer(error_response(404)).run() as client:
        assert draw_display(client, *jobs, is_closed=True)[15:] == errors
        summary = draw_display(client, *jobs, is_closed=True, is_interrupted=True)
    assert summary[15:] == [*errors, "15 jobs: 15 failed"]


async def test_long_name_leaves_room_for_the_reason_and_the_last_display_cuts_none() -> None:
    job = WatchedJob("cathedral-of-moss-nightly-2026-11-28", "failed", error="word " * 12)
    async with ScriptedServer(error_response(404)).run() as client:
        live = draw_display(client, job, columns=40)
        assert live[1:] == ["cathed…11-28: word word word word wor…"]
        last = draw_display(client, job, columns=40, is_closed=True)
    assert " ".join(" ".join(last[1:]).split()) == "cathed…11-28:" + " word" * 12


async def test_failures_that_a_summary_leaves_out_are_counted() -> None:
    jobs = [fail(number) for number in range(120)]
    async with ScriptedServer(error_response(404)).run() as client:
        lines = draw_display(client, *jobs, is_closed=True)
    assert lines[199:] == ["job-99: error 99", "and 20 more failures", "120 jobs: 120 failed"]


async def test_one_job_that_is_not_live_is_enough_to_say_so() -> None:
    output = Output(Screen(), environ={"TERM": "xterm"}, colour="never")
    output.console.width = 100
    async with ScriptedServer(error_response(404)).run() as client:
        display = LiveTable(output, client, empty_text="No job is running.")

        def has_note() -> bool:
            with output.console.capture() as capture:
                output.console.print(display.draw())
            return "not live: the conductor is away" in capture.get()

        for job_id, live in (("a", False), ("b", True)):
            data = {"job_id": job_id, "source": "redis", "live": live}
            display.on_event(StreamEvent("source", data, ""))
        assert has_note()
        assert display.now_s is None
        # The stream of the job has ended.
        display.on_event(StreamEvent("job_finished", {"job_id": "a"}, "f-1"))
        assert not has_note()
        assert display.now_s is not None


async def test_display_without_a_job_says_so() -> None:
    async with ScriptedServer(error_response(404)).run() as client:
        assert draw_display(client) == ["No job is running."]
