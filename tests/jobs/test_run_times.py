"""Times of a run, the estimate of its end, its waits, and stalled sheets."""

import os
import subprocess
from dataclasses import replace

import pytest

from marianne_stream.history.known_runs import make_run_times
from marianne_stream.history.pending import make_run_record
from marianne_stream.jobs.estimate import estimate_end
from marianne_stream.jobs.run_times import make_run_name, update_run_times, worked_s
from marianne_stream.jobs.stalled import find_stalled
from marianne_stream.jobs.waiting import find_waiting, resume_command
from marianne_stream.models import JobProgress, JobState, RunTimes, Sheet, format_iso_time
from marianne_stream.wire import job_ids

T = 1_000_000.0


def make_state(
    status: str = "running", *sheets: Sheet, started: float = 0.0, ended: float | None = None
) -> JobState:
    return JobState(
        "a",
        status,
        "conductor",
        live=True,
        checkpoint_status=status,
        sheets=sheets,
        total_sheets=len(sheets),
        completed_sheets=sum(sheet.status == "completed" for sheet in sheets),
        submitted_at=format_iso_time(T),
        started_at=format_iso_time(T + started),
        completed_at=format_iso_time(None if ended is None else T + ended),
    )


def follow(*steps: tuple[float, JobState], sees_changes: bool = True) -> RunTimes:
    times = None
    for after_s, state in steps:
        times = update_run_times(times, state, T + after_s, sees_changes=sees_changes)
    assert times is not None
    return times


def test_run_is_named_by_its_submission() -> None:
    assert make_run_name(T + 0.9) == "1970-01-12T13:46:40Z"


def test_start_before_the_submission_is_that_of_an_earlier_run() -> None:
    old = make_state("running", started=-7200)
    times = follow((0, old), (1, make_state("running", started=0.5)))
    assert times.started_at == T + 0.5
    # The times come from two clocks.
    assert follow((0, make_state("running", started=-0.5))).started_at == T - 0.5


def test_resume_keeps_start_and_pause_is_left_out() -> None:
    times = follow(
        (0, make_state()),
        (10, make_state("paused")),
        (30, make_state("running", started=29)),
        (40, make_state("completed", started=29, ended=40)),
        (90, make_state("completed", started=29, ended=90)),
    )
    assert (times.started_at, times.completed_at) == (T, T + 40)
    # From 0 to 10 and from 29 to 40.
    assert worked_s(times, T + 500) == 21
    assert (times.waited_s, times.waiting_since) == (19, T + 40)


def test_present_wait_is_counted_when_it_ends() -> None:
    waiting = make_state("running", Sheet(1, "waiting"))
    steps = [(0.0, make_state()), (10.0, waiting), (20.0, waiting), (30.0, make_state("paused"))]
    for count in (2, 3, 4):
        times = follow(*steps[:count])
        assert (times.waited_s, times.waiting_since) == (0, T + 10)
        assert worked_s(times, T + 500) == 10
    times = follow(*steps, (45, make_state()))
    assert (times.waited_s, times.waiting_since) == (35, None)
    # A pause that ends with the job is a wait before its end.
    times = follow(*steps, (50, make_state("cancelled")))
    assert (times.waited_s, times.waiting_since, times.completed_at) == (40, T + 50, T + 50)


def test_wait_whose_beginning_nobody_saw_counts_from_the_last_time_of_a_sheet() -> None:
    done = Sheet(1, "completed", started_at=T, completed_at=T + 30)
    paused = make_state("paused", done, Sheet(2, "pending"))
    times = follow((7200, paused), (9000, paused), sees_changes=False)
    assert (times.waited_s, times.waiting_since) == (0, T + 30)
    assert worked_s(times, T + 9000) == 30


def test_job_whose_end_is_unknown_waits_no_longer_at_each_read() -> None:
    failed = make_state("failed", Sheet(1, "failed", started_at=T, completed_at=T + 5))
    times = follow((60, failed), (3600, failed), (86400, failed), sees_changes=False)
    assert (times.completed_at, times.waited_s) == (None, 0)
    resumed = follow((60, failed), (3600, make_state(started=3000)), sees_changes=False)
    assert resumed.waited_s == 2995


def test_time_between_the_end_and_a_resume_is_a_wait() -> None:
    failed = make_state("failed", ended=3)
    resumed = make_state("running", started=7)
    times = follow((0, make_state()), (3.5, failed), (8, resumed), (20, resumed))
    assert (times.started_at, times.waited_s, times.waiting_since) == (T, 4, None)
    assert worked_s(times, T + 20) == 16


def test_job_that_has_not_started_waits_since_its_submission() -> None:
    queued = replace(make_state("queued"), started_at=None)
    times = follow((5, queued), (9, queued))
    waiting = find_waiting(replace(queued, progress=JobProgress(times)))
    assert waiting is not None
    assert (waiting.code, waiting.since) == ("queued", T)


@pytest.mark.parametrize(
    ("state", "waited_s"),
    [
        (make_state("paused"), 10),
        (make_state("running", Sheet(1, "waiting")), 10),
        (make_state("paused", Sheet(1, "dispatched")), 0),
        (make_state("failed", ended=20), 0),
        (make_state("running"), 0),
    ],
)
def test_recorded_run_goes_on_with_the_same_time_at_work(state: JobState, waited_s: float) -> None:
    times = follow((0, make_state()), (20, state))
    record = make_run_record(state, times, T + 30)
    assert record.waited_s == waited_s
    known = make_run_times(record, state.sheets)
    # The server was away until then.
    again = update_run_times(known, state, T + 500, sees_changes=False)
    assert again is not None
    assert worked_s(again, T + 500) == worked_s(times, T + 500)


def test_wait_for_the_start_is_no_part_of_the_time_at_work() -> None:
    queued = replace(make_state("queued"), started_at=None)
    sheets = [Sheet(number, "completed" if number <= 3 else "pending") for number in range(1, 7)]
    starting = make_state("running", Sheet(1, "dispatched"), started=600)
    working = make_state("running", *sheets, Sheet(7, "dispatched"), started=600)
    for first_s in (601, 610):
        times = follow((0, queued), (600, queued), (first_s, starting), (900, working))
        assert worked_s(times, T + 900) == 300
        assert estimate_end(working, times, None, T + 900) == T + 900 + 400


def test_end_that_is_not_reported_is_that_which_was_seen() -> None:
    running, cancelled = make_state(), make_state("cancelled")
    times = follow((0, running), (50, cancelled), (55, cancelled))
    assert times.completed_at == T + 50
    assert follow((0, running), (50, cancelled), sees_changes=False).completed_at is None


def test_reported_end_replaces_one_that_was_seen_before_it_was_reported() -> None:
    steps = [(0.0, make_state()), (50.0, make_state("cancelled"))]
    assert follow(*steps, (51, make_state("cancelled", ended=48))).completed_at == T + 48
    # The conductor that stops writes its own end.
    assert follow(*steps, (90, make_state("cancelled", ended=90))).completed_at == T + 50


def test_end_before_a_resume_is_not_that_of_the_resumed_run() -> None:
    resumed = make_state(started=100)
    ended = make_state("cancelled", started=100, ended=40)
    assert follow((90, resumed), (120, ended)).completed_at == T + 120
    # The resume was not seen.
    first = make_state("failed", started=0, ended=40)
    times = follow(
        (0, make_state()), (40, first), (120, make_state("failed", started=100, ended=110))
    )
    assert (times.completed_at, worked_s(times, T + 500)) == (T + 110, 40 + 10)


def test_rate_limit_is_left_out_unless_another_sheet_works() -> None:
    waiting = Sheet(1, "waiting", waiting_until=T + 60)
    times = follow((0, make_state()), (10, make_state("running", waiting)))
    assert worked_s(times, T + 60) == 10
    working = make_state("running", waiting, Sheet(2, "dispatched"))
    times = follow((0, make_state()), (10, working))
    assert worked_s(times, T + 60) == 60


@pytest.mark.parametrize(
    ("status", "other"), [("paused", "pending"), ("running", "fermata"), ("paused", "fermata")]
)
def test_run_does_not_wait_before_its_last_sheet_at_work(status: str, other: str) -> None:
    working = make_state(status, Sheet(1, "dispatched"), Sheet(2, other))
    times = follow((0, make_state()), (10, working))
    assert (times.waiting_since, worked_s(times, T + 60)) == (None, 60)
    stopped = make_state(status, Sheet(1, "completed"), Sheet(2, other))
    times = follow((0, make_state()), (10, working), (30, stopped))
    assert (times.waiting_since, worked_s(times, T + 60)) == (T + 30, 30)


def completed(count: int, total: int, *others: Sheet) -> JobState:
    done = [Sheet(number, "completed") for number in range(1, count + 1)]
    rest = [Sheet(number, "pending") for number in range(count + 1, total + 1 - len(others))]
    return make_state("running", *done, *rest, *others)


@pytest.mark.parametrize(
    ("state", "previous_s", "expected"),
    [
        (completed(5, 10), None, 100 + 100),
        (completed(2, 10), None, None),
        (completed(2, 10), 250.0, 100 + 150),
        (completed(2, 10), 50.0, None),
        (completed(4, 10, Sheet(10, "skipped")), None, 100 + 5 * 25),
        (replace(completed(5, 10), status="paused"), None, None),
        (completed(5, 10, Sheet(10, "fermata")), None, None),
        (completed(5, 10, Sheet(10, "waiting", waiting_until=T + 130)), None, 100 + 100 + 30),
    ],
)
def test_estimate(state: JobState, previous_s: float | None, expected: float | None) -> None:
    times = RunTimes("r", T, started_at=T)
    end = estimate_end(state, times, previous_s, T + 100)
    assert end == (None if expected is None else T + expected)


def test_time_since_the_last_completed_sheet_is_not_counted_twice() -> None:
    times = RunTimes("r", T, started_at=T, measured_sheets=5, measured_s=90.0)
    # 5 sheets need 18 s each, of which 10 s have passed.
    at_work = completed(5, 10, Sheet(10, "dispatched"))
    assert estimate_end(at_work, times, None, T + 100) == T + 100 + 80
    assert estimate_end(completed(6, 10), times, None, T + 100) == T + 100 + 4 * 100 / 6


def test_sheet_that_takes_long_leaves_time_for_those_after_it() -> None:
    times = RunTimes("r", T, started_at=T, measured_sheets=3, measured_s=30.0)
    at_work = completed(3, 6, Sheet(6, "dispatched"))
    assert estimate_end(at_work, times, None, T + 35) == T + 35 + 25
    # The sheet at work is late, and two more need 10 s each.
    assert estimate_end(at_work, times, None, T + 1000) == T + 1000 + 20


def test_no_estimate_once_the_last_sheet_is_late() -> None:
    times = RunTimes("r", T, started_at=T, measured_sheets=3, measured_s=30.0)
    last = completed(3, 4, Sheet(4, "dispatched"))
    assert estimate_end(last, times, None, T + 35) == T + 40
    assert estimate_end(last, times, None, T + 1000) is None


@pytest.mark.parametrize(
    ("status", "sheet", "code"),
    [
        ("queued", None, "queued"),
        ("paused", None, "paused"),
        ("paused_at_chain", None, "paused_at_chain"),
        ("running", Sheet(1, "waiting"), "rate_limited"),
        ("running", Sheet(1, "retry_scheduled"), "retry"),
        ("running", Sheet(1, "fermata"), "person"),
        ("running", Sheet(1, "dispatched"), None),
        ("failed", Sheet(1, "waiting"), None),
    ],
)
def test_waiting(status: str, sheet: Sheet | None, code: str | None) -> None:
    waiting = find_waiting(make_state(status, *(() if sheet is None else (sheet,))))
    assert (waiting.code if waiting is not None else None) == code


@pytest.mark.parametrize(
    ("sheet", "sentence"),
    [
        (Sheet(3, "fermata"), "Sheet 3 waits for a person's decision."),
        (Sheet(3, "retry_scheduled"), "Sheet 3 has failed and will be tried again."),
        (Sheet(3, "waiting", "{cli}"), "Sheet 3 waits: {cli} has reached a rate limit."),
        (Sheet(3, "waiting"), "Sheet 3 waits: its instrument has reached a rate limit."),
    ],
)
def test_sentence_about_a_wait_names_the_sheet(sheet: Sheet, sentence: str) -> None:
    waiting = find_waiting(make_state("running", Sheet(1, "completed"), sheet))
    assert waiting is not None
    assert (waiting.detail, waiting.sheet) == (sentence, 3)


def test_job_with_a_sheet_at_work_waits_only_for_a_person() -> None:
    at_work = Sheet(1, "dispatched")
    assert find_waiting(make_state("running", at_work, Sheet(2, "waiting"))) is None
    for_person = find_waiting(make_state("running", at_work, Sheet(2, "fermata")))
    assert for_person is not None
    assert (for_person.code, for_person.sheet) == ("person", 2)


@pytest.mark.parametrize("status", ["failed", "paused", "paused_at_chain", "cancelled"])
def test_resume_command_is_quoted(status: str) -> None:
    state = replace(make_state(status), job_id="a b")
    assert resume_command(state) == "mzt resume 'a b'"
    assert resume_command(replace(state, status="running")) is None


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    "name", [b"a'b", b"-rf", b"$(id)\\", b"caf\xe9 'x' \\ end", b"-\xff\xfe1", "für".encode()]
)
def test_resume_command_names_the_job_in_a_shell(shell: str, name: bytes) -> None:
    job_id = job_ids.escape(os.fsdecode(name))
    command = resume_command(replace(make_state("paused"), job_id=job_id))
    assert command is not None
    show = 'mzt() { shift; [ "$1" = -- ] && shift; printf %s "$1"; }; '
    output = subprocess.run([shell, "-c", show + command], capture_output=True, check=True)
    assert output.stdout == name
    assert ("--" in command) == name.startswith(b"-")


@pytest.mark.parametrize(
    ("timeout_s", "silence_s", "stalled"),
    [
        (None, 1790, False),
        (None, 1810, True),
        (60, 590, False),
        (60, 610, True),
        (2400, 1190, False),
        (2400, 1210, True),
        (86400, 1810, True),
    ],
)
def test_stalled_after_half_of_the_timeout(
    timeout_s: float | None, silence_s: float, *, stalled: bool
) -> None:
    state = make_state("running", Sheet(1, "dispatched", timeout_s=timeout_s))
    assert find_stalled(state, T, T + silence_s, None) == ((1,) if stalled else ())


def test_never_stalled_while_waiting_or_paused() -> None:
    sheet = Sheet(1, "dispatched")
    for state in (
        make_state("paused", sheet),
        make_state("running", Sheet(1, "waiting")),
        make_state("completed", sheet),
    ):
        assert find_stalled(state, T, T + 90_000, 1.0) == ()
    assert find_stalled(make_state("running", sheet), T, T + 5, 1.0) == (1,)
