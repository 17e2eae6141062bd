"""Looks that nothing asked for: often while a change is near, seldom else, never for ever."""

import pytest

from marianne_stream.jobs.looks import CAP_S, EAGER_LOOKS, EAGER_S, LookSchedule
from marianne_stream.models import JobState, Sheet


def a_state(
    *sheets: str, status: str = "running", checkpoint: str = "", live: bool = True
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
    )


def delays(state: JobState, looks: int, *, interval_s: float = 1.0) -> list[float | None]:
    """The delays after a change and the looks behind it that show nothing new."""
    schedule = LookSchedule()
    found = []
    for number in range(looks):
        schedule.saw(state, changed=number == 0, interval_s=interval_s)
        found.append(schedule.delay_s)
    return found


@pytest.mark.parametrize("interval_s", [0.1, 0.5, 2.0, 30.0])
def test_between_two_sheets_every_tick_is_a_look_for_five_seconds_and_then_ever_fewer(
    interval_s: float,
) -> None:
    eager = int(max(EAGER_LOOKS, EAGER_S / interval_s))
    found = delays(a_state("completed", "pending"), eager + 4, interval_s=interval_s)
    assert found[: eager + 1] == [interval_s] * (eager + 1)
    assert found[eager + 1 :] == [min(CAP_S, interval_s * times) for times in (2, 4, 8)]


def test_while_a_sheet_is_at_work_looks_become_ever_fewer() -> None:
    assert delays(a_state("dispatched", "pending"), 7) == [1, 2, 4, 8, 16, CAP_S, CAP_S]


@pytest.mark.parametrize("status", ["paused", "pending", "queued", "paused_at_chain", "new_one"])
def test_a_job_that_does_not_run_waits_for_a_hint(status: str) -> None:
    assert delays(a_state("pending", status=status), 2) == [None, None]


def test_a_finished_job_waits_for_a_hint() -> None:
    assert delays(a_state("completed", status="completed"), 2) == [None, None]


def test_a_job_that_is_read_from_disk_is_looked_at_on_every_tick() -> None:
    assert delays(a_state("pending", live=False), 4, interval_s=0.5) == [0.5] * 4


def test_while_roster_and_checkpoint_disagree_looks_come_with_a_growing_delay() -> None:
    found = delays(a_state("completed", status="completed", checkpoint="running"), 12)
    assert found[:5] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert found[-1] == CAP_S


def test_failed_looks_come_with_a_growing_delay_until_one_succeeds() -> None:
    schedule = LookSchedule()
    found = []
    for _ in range(7):
        schedule.failed()
        found.append(schedule.delay_s)
    assert found == [1, 2, 4, 8, 16, CAP_S, CAP_S]
    schedule.saw(a_state("dispatched"), changed=False, interval_s=2.0)
    schedule.failed()
    assert schedule.delay_s == 1


def test_a_process_that_was_spawned_between_two_sheets_calls_for_a_look() -> None:
    schedule = LookSchedule()
    between = a_state("completed", "pending")
    schedule.saw(between, changed=True, interval_s=2.0)
    schedule.expect(between, within_s=0.5)
    assert schedule.delay_s == 0.5
    schedule.expect(between, within_s=0.7)
    assert schedule.delay_s == 0.5


@pytest.mark.parametrize("sheets", [("dispatched", "pending"), ("completed",)])
def test_a_process_that_was_spawned_at_another_time_says_nothing(sheets: tuple[str, ...]) -> None:
    schedule = LookSchedule()
    schedule.saw(a_state(*sheets), changed=True, interval_s=2.0)
    schedule.expect(a_state(*sheets), within_s=0.5)
    assert schedule.delay_s == 2.0


def test_a_job_of_which_the_conductor_says_nothing_usable_is_asked_for_ever_more_seldom() -> None:
    schedule = LookSchedule()
    found = []
    for _ in range(4):
        schedule.saw(a_state("pending", live=False), changed=False, interval_s=0.1, instead=True)
        found.append(schedule.delay_s)
    assert found == [2.0, 4.0, 8.0, 16.0]
