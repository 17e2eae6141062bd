"""Reads without a reason from outside: soon after a change, each 2 s while a sheet is at work."""

import pytest

from marianne_stream.jobs.poll_schedule import MAX_DELAY_S, PollSchedule
from marianne_stream.models import JobState, Sheet


def a_state(
    *sheets: str,
    status: str = "running",
    checkpoint: str = "",
    live: bool = True,
    cost_s: float = 0,
) -> JobState:
    return JobState(
        job_id="a",
        status=status,
        source="conductor" if live else "registry",
        live=live,
        checkpoint_status=checkpoint or status,
        sheets=tuple(Sheet(number, each) for number, each in enumerate(sheets, 1)),
        total_sheets=len(sheets),
        completed_sheets=sheets.count("completed"),
        cost_s=cost_s,
    )


def delays(state: JobState, reads: int, *, interval_s: float = 1.0) -> list[float | None]:
    """The delays after a change, and after the reads behind it that show nothing new."""
    schedule = PollSchedule()
    found = []
    for number in range(reads):
        schedule.on_state(state, changed=number == 0, interval_s=interval_s)
        found.append(schedule.delay_s)
    return found


def test_between_two_sheets_the_next_is_looked_for_four_times_a_second() -> None:
    assert delays(a_state("completed", "pending"), 4) == [0.2, 0.25, 0.25, 0.25]


def test_while_a_sheet_is_at_work_the_job_is_read_each_two_seconds() -> None:
    assert delays(a_state("dispatched", "pending"), 4) == [0.2, 2, 2, 2]


def test_a_heavy_job_is_read_a_twentieth_of_the_time() -> None:
    assert delays(a_state("dispatched", cost_s=0.3), 2) == [6, 6]


@pytest.mark.parametrize("status", ["paused", "pending", "queued", "paused_at_chain", "new_one"])
def test_a_job_that_does_not_run_waits_for_the_roster(status: str) -> None:
    assert delays(a_state("pending", status=status), 2) == [None, None]


def test_a_finished_job_waits_for_the_roster() -> None:
    assert delays(a_state("completed", status="completed"), 2) == [None, None]


def test_a_job_on_disk_is_read_at_the_interval_that_viewers_ask_for() -> None:
    assert delays(a_state("pending", live=False), 4, interval_s=0.5) == [0.5] * 4


def test_while_roster_and_checkpoint_disagree_reads_come_with_a_growing_delay() -> None:
    found = delays(a_state("completed", status="completed", checkpoint="running"), 12)
    assert found[:5] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert found[-1] == MAX_DELAY_S


def test_failed_reads_come_with_a_growing_delay_until_one_succeeds() -> None:
    schedule = PollSchedule()
    found = []
    for _ in range(7):
        schedule.on_error()
        found.append(schedule.delay_s)
    assert found == [1, 2, 4, 8, 16, MAX_DELAY_S, MAX_DELAY_S]
    schedule.on_state(a_state("dispatched"), changed=False, interval_s=2.0)
    schedule.on_error()
    assert schedule.delay_s == 1


def test_a_job_of_which_the_conductor_says_nothing_usable_is_read_ever_more_seldom() -> None:
    schedule = PollSchedule()
    found = []
    for _ in range(4):
        schedule.on_state(
            a_state("pending", live=False), changed=False, interval_s=0.1, from_fallback=True
        )
        found.append(schedule.delay_s)
    assert found == [2.0, 4.0, 8.0, 16.0]
