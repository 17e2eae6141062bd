"""The `watch` command as a process, in a real terminal and through a pipe."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.external import require_program
from tests.support.faulty_proxy import FaultyProxy
from tests.support.processes import ManagedProcess
from tests.support.terminals import Terminal, open_terminal, run_command, start_command
from tests.support.waiting import wait_until

OUTCOMES = {"completed": 0, "failed": 1, "cancelled": 4}


def play(conductor: SimulatedConductor, job_id: str, outcome: str) -> None:
    """Complete a job of three sheets."""
    conductor.complete_sheet(job_id, 1)
    if outcome == "completed":
        conductor.complete_sheet(job_id, 2)
        conductor.complete_sheet(job_id, 3)
        conductor.finish(job_id)
    elif outcome == "failed":
        conductor.fail_sheet(job_id, 2, "The wind took it")
        conductor.finish(job_id, "failed")
    else:
        conductor.cancel(job_id)


def play_all(conductor: SimulatedConductor, job_id: str) -> None:
    """Complete a job of one sheet."""
    conductor.complete_sheet(job_id, 1)
    conductor.finish(job_id)


def is_cursor_restored(screen: Terminal) -> bool:
    """Return whether the cursor was hidden and shown again (DECTCEM)."""
    return screen.raw.rindex("\x1b[?25h") > screen.raw.rindex("\x1b[?25l")


@pytest.mark.parametrize(("outcome", "code"), OUTCOMES.items())
async def test_watch_exit_code_is_the_job_result(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path, outcome: str, code: int
) -> None:
    conductor.launch("a", 3)
    async with start_command(tmp_path, "watch", "a", "--url", server.address) as watching:
        await wait_until(lambda: "running" in watching.stdout)
        play(conductor, "a", outcome)
        ended = await watching.wait()
    assert ended.exit_code == code
    assert outcome in ended.lines[-1]
    assert ended.stderr == ""


async def test_watch_of_three_jobs_in_a_terminal_ends_with_them(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    for job_id in OUTCOMES:
        conductor.launch(f"job-{job_id}", 3)
    jobs = [f"job-{outcome}" for outcome in OUTCOMES]
    async with open_terminal(tmp_path, "watch", *jobs, "--url", server.address) as screen:
        await wait_until(lambda: screen.text.count("running") >= 3)
        for outcome in OUTCOMES:
            play(conductor, f"job-{outcome}", outcome)
        assert await screen.wait() == 1
    rows = screen.text.splitlines()[-4:]
    assert [row.split()[0] for row in rows] == [*jobs, "job-failed:"]
    assert [row.split()[1] for row in rows[:3]] == list(OUTCOMES)
    assert [row.split()[-2] for row in rows[:3]] == ["3/3", "1/3", "1/3"]
    assert rows[3].strip() == "job-failed: The wind took it"
    assert all("━" in row for row in rows[:3])
    assert not any(len(row) > 80 for row in rows)
    assert is_cursor_restored(screen)


async def test_watch_of_three_jobs_through_a_pipe_ends_with_them(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    for outcome in OUTCOMES:
        conductor.launch(outcome, 3)
    async with start_command(tmp_path, "watch", *OUTCOMES, "--url", server.address) as watching:
        await wait_until(lambda: watching.stdout.count("running") >= 3)
        for outcome in OUTCOMES:
            play(conductor, outcome, outcome)
        ended = await watching.wait()
    assert ended.exit_code == 1
    assert "\x1b" not in ended.stdout
    # Date and time come first.
    last = {line.split()[2]: line.split()[3:] for line in ended.lines}
    assert last == {
        "completed": ["completed", "3/3"],
        "failed": ["failed", "1/3", "The", "wind", "took", "it"],
        "cancelled": ["cancelled", "1/3"],
    }
    assert len(set(ended.lines)) == len(ended.lines)


async def test_watch_without_a_job_shows_running_jobs_until_ctrl_c(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("over", 1)
    play_all(conductor, "over")
    async with open_terminal(tmp_path, "watch", "--url", server.address) as screen:
        await screen.wait_for_text("No job is running.")
        conductor.launch("a", 3)
        await screen.wait_for_text("running  ")
        conductor.dispatch("a", 1)
        await screen.wait_for_text("sheet 1")
        conductor.complete_sheet("a", 1)
        await screen.wait_for_text("1/3")
        screen.send_keys("\x03")
        assert await screen.wait() == 130
    assert "Traceback" not in screen.text
    assert "over " not in screen.text
    assert is_cursor_restored(screen)


async def test_watch_reports_a_missing_job_and_watches_the_others(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    play_all(conductor, "a")
    ended = await run_command(tmp_path, "watch", "a", "none", "--url", server.address)
    assert ended.exit_code == 3
    assert "completed" in ended.stdout
    assert ended.stderr == "marianne-stream: Job not found: none\n"


async def test_watch_of_a_deleted_job_reports_not_found(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    async with start_command(tmp_path, "watch", "a", "--url", server.address) as watching:
        await wait_until(lambda: "running" in watching.stdout)
        conductor.remove("a")
        ended = await watching.wait()
    assert ended.exit_code == 3
    assert "a was removed from the conductor" in ended.stderr


async def test_board_at_sigterm_restores_the_terminal(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    async with open_terminal(tmp_path, "watch", "a", "--url", server.address) as screen:
        await screen.wait_for_text("running")
        screen._process.terminate()
        assert await screen.wait() == 143
    assert is_cursor_restored(screen)


async def test_suspended_board_restores_the_cursor_and_resumes(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    verb = ("marianne_stream", "watch", "a", "--url", server.address)
    command = shlex.join([sys.executable, "-m", *verb])
    shell = ("--norc", "--noprofile", "-i")
    async with open_terminal(
        tmp_path, *shell, program=require_program("bash"), HOME=str(tmp_path)
    ) as screen:
        screen.send_keys(command + "\n")
        await screen.wait_for_text("running  ")
        screen.send_keys("\x1a")
        await screen.wait_for_text("Stopped")
        assert is_cursor_restored(screen)
        shown = len(screen.raw)
        screen.send_keys("fg\n")
        await wait_until(lambda: "running  " in screen.raw[shown:])
        assert not is_cursor_restored(screen)
        play(conductor, "a", "completed")
        await wait_until(lambda: "3/3" in screen.raw[shown:] and is_cursor_restored(screen))
        screen.send_keys("exit $?\n")
        assert await screen.wait() == 0


async def test_board_after_a_lost_connection_reports_it_and_resumes(
    conductor: SimulatedConductor, proxy: FaultyProxy, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    async with open_terminal(tmp_path, "watch", "a", "--url", proxy.url) as screen:
        await screen.wait_for_text("running")
        proxy.disconnect_all()
        await screen.wait_for_text("trying again")
        play(conductor, "a", "completed")
        assert await screen.wait() == 0
    assert "connected again" in screen.text
    assert screen.text.splitlines()[-1].split()[1] == "completed"


async def test_dumb_terminal_gets_lines(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    async with open_terminal(
        tmp_path, "watch", "a", "--url", server.address, TERM="dumb"
    ) as screen:
        await screen.wait_for_text("running")
        play(conductor, "a", "completed")
        assert await screen.wait() == 0
    assert "\x1b" not in screen.raw
    assert screen.text.splitlines()[-1].split()[2:] == ["a", "completed", "3/3"]


async def test_watch_json_prints_events(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    async with start_command(tmp_path, "watch", "a", "--json", "--url", server.address) as watching:
        await wait_until(lambda: "job_sheets" in watching.stdout)
        play(conductor, "a", "failed")
        ended = await watching.wait()
    said = [json.loads(line) for line in ended.lines]
    assert all(set(each) == {"event", "cursor", "data"} for each in said)
    assert [each["event"] for each in said[:3]] == ["source", "job_status", "job_sheets"]
    assert said[-1]["event"] == "job_finished"
    assert said[-1]["data"] == {"job_id": "a", "final_status": "failed"}
    assert said[-1]["cursor"].startswith("f-")
