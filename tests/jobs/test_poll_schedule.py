"""Delays of scheduled reads."""

import pytest

from marianne_stream.jobs.poll_schedule import MAX_DELAY_S, PollSchedule
from marianne_stream.models import JobState, Sheet


def make_state(
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
    """Return the delays after a change and after unchanged reads."""
    schedule = PollSchedule()
    found = []
    for number in range(reads):
        schedule.on_state(state, changed=number == 0, interval_s=interval_s)
        found.append(schedule.delay_s)
    return found


def test_job_between_sheets_read_every_250_ms() -> None:
    assert delays(make_state("completed", "pending"), 4) == [0.2, 0.25, 0.25, 0.25]


def test_job_with_active_sheet_read_every_2_s() -> None:
    assert delays(make_state("dispatched", "pending"), 4) == [0.2, 2, 2, 2]


def test_job_behind_its_roster_entry_is_read_again_soon_but_not_for_ever() -> None:
    schedule = PollSchedule()
    state = make_state("dispatched", "pending")
    found = []
    for _ in range(7):
        schedule.on_state(state, changed=False, interval_s=1.0, is_behind=True)
        found.append(schedule.delay_s)
    assert found == [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]
    schedule.on_state(state, changed=True, interval_s=1.0)
    schedule.on_state(state, changed=False, interval_s=1.0, is_behind=True)
    assert schedule.delay_s == 0.1


def test_slow_answer_delays_next_read() -> None:
    assert delays(make_state("dispatched", cost_s=0.3), 2) == [6, 6]


@pytest.mark.parametrize("status", ["paused", "pending", "queued", "paused_at_chain", "new_one"])
def test_job_not_running_has_no_scheduled_read(status: str) -> None:
    assert delays(make_state("pending", status=status), 2) == [None, None]


def test_finished_job_has_no_scheduled_read() -> None:
    assert delays(make_state("completed", status="completed"), 2) == [None, None]


def test_job_on_disk_read_at_client_interval() -> None:
    assert delays(make_state("pending", live=False), 4, interval_s=0.5) == [0.5] * 4


def test_conflict_read_with_backoff() -> None:
    found = delays(make_state("completed", status="completed", checkpoint="running"), 12)
    assert found[:5] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert found[-1] == MAX_DELAY_S


def test_failed_reads_retried_with_backoff_until_success() -> None:
    schedule = PollSchedule()
    found = []
    for _ in range(7):
        schedule.on_error()
        found.append(schedule.delay_s)
    assert found == [1, 2, 4, 8, 16, MAX_DELAY_S, MAX_DELAY_S]
    schedule.on_state(make_state("dispatched"), changed=False, interval_s=2.0)
    schedule.on_error()
    assert schedule.delay_s == 1


def test_fallback_state_read_with_backoff() -> None:
    schedule = PollSchedule()
    found = []
    for _ in range(4):
        schedule.on_state(
            make_state("pending", live=False), changed=False, interval_s=0.1, from_fallback=True
        )
        found.append(schedule.delay_s)
    assert found == [2.0, 4.0, 8.0, 16.0]
