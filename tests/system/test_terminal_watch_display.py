"""The display of `watch`: sheets and log of one job, and more jobs than the terminal has rows."""

from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.log_files import append_lines
from tests.support.processes import ManagedProcess
from tests.support.terminals import open_terminal
from tests.support.waiting import wait_until

ROWS = 24


@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_watch_of_one_job_shows_its_sheets_and_newest_lines(
    conductor: SimulatedConductor,
    server: ManagedProcess,
    log_path: Path,
    tmp_path: Path,
    columns: int,
) -> None:
    append_lines(log_path, *(f"[info] line {number} " + "words " * 50 for number in range(40)))
    verb = ("watch", "logged", "--url", server.address)
    async with open_terminal(tmp_path, *verb, columns=columns) as screen:
        await wait_until(lambda: any("line 39" in line for line in screen.last_frame))
        conductor.dispatch("logged", 1)
        await wait_until(lambda: any("1      dispatched" in line for line in screen.last_frame))
        conductor.complete_sheet("logged", 1)
        conductor.dispatch("logged", 2)
        append_lines(log_path, "[error] newest line")
        await wait_until(
            lambda: (
                any("2      dispatched" in line for line in screen.last_frame)
                and screen.last_frame[-1] == "[error] newest line"
            )
        )
        frame = screen.last_frame
        conductor.fail_sheet("logged", 2, "The wind took it")
        conductor.finish("logged", "failed")
        assert await screen.wait() == 1
    head, sheets, first, _, separator, *log = frame
    assert head.split()[:2] == ["logged", "running"]
    assert "1/2" in head
    assert ("━" in head) is (columns > 64)
    assert sheets.split()[:2] == ["SHEET", "STATUS"]
    assert first.split()[:2] == ["1", "completed"]
    assert separator.startswith("── log ")
    assert log[-2].startswith("[info] line 39")
    assert log[-2].endswith("…")
    assert len(frame) < ROWS
    assert all(len(line) <= columns for line in frame)
    # The display that stays has no log.
    head, *rest = screen.last_frame
    assert head.split()[:2] == ["logged", "failed"]
    assert "1/2" in head
    assert "The wind took it" in "".join(rest)
    assert not any(line.startswith("── log") for line in rest)


async def test_watch_of_many_sheets_shows_failed_and_running_ones(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("a", 300)
    for number in range(1, 101):
        conductor.complete_sheet("a", number)
    conductor.fail_sheet("a", 20, "The wind took it")
    conductor.dispatch("a", 150)
    async with open_terminal(tmp_path, "watch", "a", "--url", server.address) as screen:
        await screen.wait_for_text("more:")
        await wait_until(lambda: "150" in "".join(line[:3] for line in screen.last_frame))
        frame = screen.last_frame
        screen.send_keys("\x03")
        assert await screen.wait() == 130
    numbers = [line.split()[0] for line in frame if line[:1].isdigit()]
    assert {"20", "150", "101"} <= set(numbers)
    assert numbers == sorted(numbers, key=int)
    assert len(frame) < ROWS
    more = next(line for line in frame if line.startswith("and "))
    assert "99 completed" in more or "100 completed" in more
    assert "pending" in more
    assert screen.last_frame[-1].startswith("sheets: ")
    assert "1 failed, 1 dispatched" in screen.last_frame[-1]
    assert len(screen.last_frame) < 8


async def test_watch_of_more_jobs_than_rows_shows_failures_and_running_jobs(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    jobs = [f"job-{number:02}" for number in range(40)]
    for job_id in jobs:
        conductor.launch(job_id, 1)
    for job_id in jobs[5:35]:
        conductor.pause(job_id)
    conductor.fail_sheet("job-38", 1, "The wind took it")
    conductor.finish("job-38", "failed")
    async with open_terminal(tmp_path, "watch", *jobs, "--url", server.address) as screen:
        await wait_until(
            lambda: (
                screen.last_frame and screen.last_frame[-1].endswith("paused")
                if "..." not in "".join(screen.last_frame)
                else False
            ),
            timeout_s=30,
        )
        frame = screen.last_frame
        screen.send_keys("\x03")
        assert await screen.wait() == 130
    shown = [line.split()[0] for line in frame if line.startswith("job-")]
    assert {*jobs[:5], *jobs[35:]} <= set(shown)
    assert frame[-2:] == ["job-38: The wind took it", f"and {40 - len(shown) + 1} more: 19 paused"]
    assert len(frame) < ROWS
    row, error, summary = screen.last_frame
    assert row.split()[:2] == ["job-38", "failed"]
    assert error == "job-38: The wind took it"
    assert summary == "40 jobs: 30 paused, 9 running, 1 failed"
