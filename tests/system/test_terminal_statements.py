"""Commands of the terminal make true statements about jobs of a real conductor's habits."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.processes import ManagedProcess, run_server
from tests.support.terminals import (
    CompletedCommand,
    PipedCommand,
    Terminal,
    open_terminal,
    run_command,
    start_command,
)
from tests.support.waiting import wait_for_value, wait_until

FROM_REGISTRY = "the state is from the registry, not from the conductor, and may be out of date"


def find_fact(shown: CompletedCommand, name: str) -> str:
    """Return the value of a fact that `show` has printed; "" if it is missing."""
    lines = (line for line in shown.lines if line.startswith(f"{name} "))
    return next(lines, "").removeprefix(name).strip()


def has_text(command: PipedCommand, text: str) -> bool:
    """Return whether a command has printed a text."""
    return text in command.stdout


def stale_frames(screen: Terminal) -> list[list[str]]:
    """Return the whole drawings of a live display so far that say that they are not live."""
    frames = [frame.splitlines() for frame in screen.frames[:-1]]
    return [frame for frame in frames if frame and frame[0].startswith("not live: ")]


async def restart_after_crash(conductor: SimulatedConductor) -> None:
    """Let a conductor crash, and start again with what its registry has."""
    await conductor.flush()
    await conductor.kill()
    conductor.jobs.clear()
    await conductor.start()


async def test_stop_of_the_conductor_does_not_move_the_end_of_a_job(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    conductor.complete_sheet("a", 1)
    conductor.finish("a")
    async with run_server(tmp_path, "--data-dir", tmp_path / "data") as server:
        url = ("--url", server.address)
        show = partial(run_command, tmp_path, "show", "a", *url)
        runs = partial(run_command, tmp_path, "runs", "a", *url)
        shown = await wait_for_value(show, lambda found: find_fact(found, "duration"))
        listed = await wait_for_value(runs, lambda found: "completed" in found.stdout)
        # The conductor writes the time of its stop as the end of all jobs.
        await asyncio.sleep(1.1)
        await conductor.stop()
        await wait_until(lambda: "registry" in server.log)
        assert (await show()).stdout == shown.stdout
        assert (await runs()).stdout == listed.stdout
        assert listed.lines[1].split()[-1] == find_fact(shown, "duration")


async def test_ended_job_has_no_sheet_at_work_and_keeps_its_counts(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    conductor.complete_sheet("a", 1)
    conductor.dispatch("a", 2)
    await conductor.flush()
    conductor.cancel("a")
    await restart_after_crash(conductor)
    async with run_server(tmp_path) as server:
        url = ("--url", server.address)
        shown = await run_command(tmp_path, "show", "a", *url)
        assert find_fact(shown, "status") == "cancelled, 1/3 sheets"
        sheets = [line.split() for line in shown.lines if line[:1].isdigit()]
        assert [row[:2] for row in sheets] == [
            *(["1", "completed"], ["2", "stopped"], ["3", "pending"]),
        ]
        assert not sheets[1][-1].endswith(("s", "m"))
        jobs = await wait_for_value(
            partial(run_command, tmp_path, "jobs", *url), lambda found: "1/3" in found.stdout
        )
        assert jobs.lines[1].split()[:3] == ["a", "cancelled", "1/3"]
        watched = await run_command(tmp_path, "watch", "a", *url)
        assert watched.exit_code == 4
        assert watched.lines[-1].split()[-3:] == ["a", "cancelled", "1/3"]


@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_reason_of_a_failure_after_a_crash_is_shown(
    conductor: SimulatedConductor, tmp_path: Path, columns: int
) -> None:
    conductor.launch("a", 3)
    conductor.complete_sheet("a", 1)
    conductor.dispatch("a", 2)
    await restart_after_crash(conductor)
    reason = "Daemon restarted while job was active"
    async with run_server(tmp_path) as server:
        url = ("--url", server.address)
        show = partial(run_command, tmp_path, "show", "a", *url)
        shown = await wait_for_value(show, lambda found: find_fact(found, "error"))
        assert find_fact(shown, "error") == reason
        async with open_terminal(tmp_path, "watch", "a", *url, columns=columns) as screen:
            assert await screen.wait() == 1
        assert f"error: {reason}" in " ".join(" ".join(screen.last_frame).split())
        assert "details: marianne-stream show a" in screen.last_frame
        watched = await run_command(tmp_path, "watch", "a", *url)
        assert watched.lines[-1].endswith(reason)


async def test_count_and_current_sheet_agree(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("a", 10)
    url = ("--url", server.address)
    async with (
        start_command(tmp_path, "watch", "a", *url) as one,
        start_command(tmp_path, "watch", *url) as all_jobs,
    ):
        await wait_until(lambda: "0/10" in one.stdout and "0/10" in all_jobs.stdout)
        for number in range(1, 11):
            conductor.dispatch("a", number)
            await wait_until(partial(has_text, one, f"sheet {number}\n"))
            conductor.complete_sheet("a", number)
        conductor.finish("a")
        await one.wait()
        await wait_until(lambda: "completed" in all_jobs.stdout)
    lines = [line.split() for line in (one.stdout + all_jobs.stdout).splitlines()]
    pairs = [(row[-3], int(row[-1])) for row in lines if row[-2] == "sheet"]
    assert len(pairs) >= 10
    assert [(count, sheet) for count, sheet in pairs if count != f"{sheet - 1}/10"] == []


@pytest.mark.parametrize(
    ("jobs", "columns"), [(("a",), 40), (("a",), 80), (("a",), 200), (("a", "b"), 80), ((), 80)]
)
async def test_watch_says_that_the_conductor_is_away_and_stops_durations(
    conductor: SimulatedConductor, tmp_path: Path, jobs: tuple[str, ...], columns: int
) -> None:
    for job_id in ("a", "b"):
        conductor.launch(job_id, 3)
        conductor.dispatch(job_id, 1)
    async with run_server(tmp_path) as server:
        verb = ("watch", *jobs, "--url", server.address)
        async with open_terminal(tmp_path, *verb, columns=columns) as screen:
            await screen.wait_for_text("0/3")
            await conductor.flush()
            await conductor.kill()
            # The display is drawn every second.
            await wait_until(lambda: len(stale_frames(screen)) >= 5)
            first, *others = stale_frames(screen)[-3:]
            assert others == [first, first]
            await conductor.start()
            await screen.wait_for_text("the conductor answers again")
            await wait_until(lambda: not screen.last_frame[0].startswith("not live: "))
    words = " ".join(" ".join(first).split())
    assert words.startswith(f"not live: {FROM_REGISTRY}")
    assert "running" in words
    assert "0/3" in words
    assert max(map(len, first)) <= columns
    assert len(first) < 24


async def test_commands_say_that_the_conductor_is_away(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    conductor.dispatch("a", 1)
    await conductor.flush()
    await conductor.kill()
    note = "marianne-stream: Jobs are shown in the last state that the conductor saved\n"
    async with run_server(tmp_path, "--data-dir", tmp_path / "data") as server:
        url = ("--url", server.address)
        jobs = await run_command(tmp_path, "jobs", *url)
        assert (jobs.exit_code, jobs.stderr) == (0, note)
        assert jobs.lines[1].split()[-1] == "-"
        shown = await run_command(tmp_path, "show", "a", *url)
        assert (shown.exit_code, shown.stderr) == (0, "")
        assert find_fact(shown, "not live") == FROM_REGISTRY
        assert find_fact(shown, "duration") == ""
        sheet = await run_command(tmp_path, "show", "a", "--sheet", "1", *url)
        assert find_fact(sheet, "duration") == ""
        async with open_terminal(tmp_path, "watch", *url, columns=200) as screen:
            await wait_until(lambda: stale_frames(screen))
            note, row = stale_frames(screen)[-1]
            assert note == f"not live: {FROM_REGISTRY}"
            # The current sheet may be known, and comes last: there is no duration.
            assert row.split()[0] == "a"
            assert row.removesuffix("  sheet 1").endswith(" 0/3")
        load = await run_command(tmp_path, "conductor", *url, "--retry-timeout", "0")
        assert (load.exit_code, load.stdout) == (5, "")
        assert load.stderr == "marianne-stream: The conductor is away\n"


@pytest.mark.parametrize("verb", [("jobs",), ("show", "a"), ("watch", "a")])
async def test_server_without_any_backend_says_so(tmp_path: Path, verb: tuple[str, ...]) -> None:
    async with run_server(tmp_path) as server:
        options = ("--url", server.address, "--retry-timeout", "0")
        ended = await run_command(tmp_path, *verb, *options)
    assert (ended.exit_code, ended.stdout) == (5, "")
    assert "conductor" in ended.stderr
    assert ended.stderr.count("\n") == 1
