"""`watch` as a process: in a real terminal and through a pipe, to the ends of jobs."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from marianne_stream.demo.conductor import SimulatedConductor
from tests.support.cutting import Wire
from tests.support.external import program
from tests.support.processes import Process
from tests.support.terminals import Terminal, piped, ran, terminal
from tests.support.waiting import until

OUTCOMES = {"completed": 0, "failed": 1, "cancelled": 4}


def play(conductor: SimulatedConductor, job_id: str, outcome: str) -> None:
    """Ends a job of three sheets."""
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
    """Ends a job of one sheet."""
    conductor.complete_sheet(job_id, 1)
    conductor.finish(job_id)


def cursor_is_shown(screen: Terminal) -> bool:
    """Whether the cursor that was hidden has come back (DECTCEM)."""
    return screen.raw.rindex("\x1b[?25h") > screen.raw.rindex("\x1b[?25l")


@pytest.mark.parametrize(("outcome", "code"), OUTCOMES.items())
async def test_watch_exits_with_how_the_job_ended(
    conductor: SimulatedConductor, running: Process, tmp_path: Path, outcome: str, code: int
) -> None:
    conductor.launch("a", 3)
    async with piped(tmp_path, "watch", "a", "--url", running.address) as watching:
        await until(lambda: "running" in watching.out)
        play(conductor, "a", outcome)
        ended = await watching.ended()
    assert ended.code == code
    assert outcome in ended.lines[-1]
    assert ended.errors == ""


async def test_three_jobs_are_watched_to_their_ends_in_a_terminal(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    for job_id in OUTCOMES:
        conductor.launch(f"job-{job_id}", 3)
    jobs = [f"job-{outcome}" for outcome in OUTCOMES]
    async with terminal(tmp_path, "watch", *jobs, "--url", running.address) as screen:
        await until(lambda: screen.text.count("running") >= 3)
        for outcome in OUTCOMES:
            play(conductor, f"job-{outcome}", outcome)
        assert await screen.ended() == 1
    rows = screen.text.splitlines()[-4:]
    assert [row.split()[0] for row in rows] == [*jobs, "job-failed:"]
    assert [row.split()[1] for row in rows[:3]] == list(OUTCOMES)
    assert [row.split()[-2] for row in rows[:3]] == ["3/3", "1/3", "1/3"]
    assert rows[3].strip() == "job-failed: The wind took it"
    assert all("━" in row for row in rows[:3])
    assert not any(len(row) > 80 for row in rows)
    assert cursor_is_shown(screen)


async def test_three_jobs_are_watched_to_their_ends_through_a_pipe(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    for outcome in OUTCOMES:
        conductor.launch(outcome, 3)
    async with piped(tmp_path, "watch", *OUTCOMES, "--url", running.address) as watching:
        await until(lambda: watching.out.count("running") >= 3)
        for outcome in OUTCOMES:
            play(conductor, outcome, outcome)
        ended = await watching.ended()
    assert ended.code == 1
    assert "\x1b" not in ended.out
    last = {line.split()[1]: line.split()[2:] for line in ended.lines}
    assert last == {
        "completed": ["completed", "3/3"],
        "failed": ["failed", "1/3", "The", "wind", "took", "it"],
        "cancelled": ["cancelled", "1/3"],
    }
    assert len(set(ended.lines)) == len(ended.lines)


async def test_watch_without_a_name_shows_what_runs_until_ctrl_c(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    conductor.launch("over", 1)
    play_all(conductor, "over")
    async with terminal(tmp_path, "watch", "--url", running.address) as screen:
        await screen.saw("No job is running.")
        conductor.launch("a", 3)
        await screen.saw("running  ")
        conductor.dispatch("a", 1)
        await screen.saw("sheet 1")
        conductor.complete_sheet("a", 1)
        await screen.saw("1/3")
        screen.press("\x03")
        assert await screen.ended() == 130
    assert "Traceback" not in screen.text
    assert "over " not in screen.text
    assert cursor_is_shown(screen)


async def test_a_job_that_is_not_there_is_said_and_the_others_are_watched_on(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    play_all(conductor, "a")
    ended = await ran(tmp_path, "watch", "a", "none", "--url", running.address)
    assert ended.code == 3
    assert "completed" in ended.out
    assert ended.errors == "marianne-stream: Score not found: none\n"


async def test_a_job_that_is_deleted_meanwhile_is_not_found(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    async with piped(tmp_path, "watch", "a", "--url", running.address) as watching:
        await until(lambda: "running" in watching.out)
        conductor.remove("a")
        ended = await watching.ended()
    assert ended.code == 3
    assert "a is gone" in ended.errors


async def test_a_board_gives_the_terminal_back_at_sigterm(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    async with terminal(tmp_path, "watch", "a", "--url", running.address) as screen:
        await screen.saw("running")
        screen._process.terminate()
        assert await screen.ended() == 143
    assert cursor_is_shown(screen)


async def test_a_board_that_is_stopped_gives_the_cursor_back_and_goes_on_in_the_foreground(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    verb = ("marianne_stream", "watch", "a", "--url", running.address)
    command = shlex.join([sys.executable, "-m", *verb])
    shell = ("--norc", "--noprofile", "-i")
    async with terminal(tmp_path, *shell, program=program("bash"), HOME=str(tmp_path)) as screen:
        screen.press(command + "\n")
        await screen.saw("running  ")
        screen.press("\x1a")
        await screen.saw("Stopped")
        assert cursor_is_shown(screen)
        shown = len(screen.raw)
        screen.press("fg\n")
        await until(lambda: "running  " in screen.raw[shown:])
        assert not cursor_is_shown(screen)
        play(conductor, "a", "completed")
        await until(lambda: "3/3" in screen.raw[shown:] and cursor_is_shown(screen))
        screen.press("exit $?\n")
        assert await screen.ended() == 0


async def test_a_board_goes_on_when_its_connection_was_cut_and_says_so_above(
    conductor: SimulatedConductor, wire: Wire, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    async with terminal(tmp_path, "watch", "a", "--url", wire.url) as screen:
        await screen.saw("running")
        wire.cut()
        await screen.saw("trying again")
        play(conductor, "a", "completed")
        assert await screen.ended() == 0
    assert "connected again" in screen.text
    assert screen.text.splitlines()[-1].split()[1] == "completed"


async def test_a_terminal_that_cannot_be_drawn_on_gets_lines(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    async with terminal(tmp_path, "watch", "a", "--url", running.address, TERM="dumb") as screen:
        await screen.saw("running")
        play(conductor, "a", "completed")
        assert await screen.ended() == 0
    assert "\x1b" not in screen.raw
    assert screen.text.splitlines()[-1].split()[1:] == ["a", "completed", "3/3"]


async def test_watch_gives_its_events_as_json(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    async with piped(tmp_path, "watch", "a", "--json", "--url", running.address) as watching:
        await until(lambda: "job_sheets" in watching.out)
        play(conductor, "a", "failed")
        ended = await watching.ended()
    said = [json.loads(line) for line in ended.lines]
    assert all(set(each) == {"event", "cursor", "data"} for each in said)
    assert [each["event"] for each in said[:3]] == ["source", "job_status", "job_sheets"]
    assert said[-1]["event"] == "job_finished"
    assert said[-1]["data"] == {"job_id": "a", "final_status": "failed"}
    assert said[-1]["cursor"].startswith("f-")
