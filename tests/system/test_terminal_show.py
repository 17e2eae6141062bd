"""`show` and `runs`: a job with its sheets, one sheet in full, and recorded runs."""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.processes import ManagedProcess, run_server
from tests.support.terminals import open_terminal, run_command
from tests.support.waiting import wait_for_value

EVIL = "\x1b]0;owned\x07\x1b[31mred\x1b[0m"


@pytest.fixture
async def server(conductor: SimulatedConductor, tmp_path: Path) -> AsyncIterator[ManagedProcess]:
    """Run a server whose job failed in sheet 2."""
    conductor.launch("nightly", 3)
    conductor.complete_sheet("nightly", 1)
    conductor.fail_sheet("nightly", 2, f"Exit code 1 {EVIL}")
    conductor.jobs["nightly"].sheet(2)["stdout_tail"] = f"first line\n{EVIL} last line\n"
    conductor.finish("nightly", "failed")
    await conductor.flush()
    async with run_server(tmp_path, "--data-dir", tmp_path / "data") as running:
        yield running


async def test_show_job_with_its_sheets(server: ManagedProcess, tmp_path: Path) -> None:
    shown = await run_command(tmp_path, "show", "nightly", "--url", server.address)
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[:2] == [["job", "nightly"], ["status", "failed,", "1/3", "sheets"]]
    assert "resume with  mzt resume nightly" in shown.stdout
    assert ["SHEET", "STATUS", "TRY", "STARTED", "DURATION", "ERROR"] in lines
    assert "2      failed     1" in shown.stdout
    assert "\x1b" not in shown.stdout


async def test_show_sheet_with_its_output(server: ManagedProcess, tmp_path: Path) -> None:
    shown = await run_command(tmp_path, "show", "nightly", "--sheet", "2", "--url", server.address)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "error code" in shown.stdout
    before, _, output = shown.stdout.partition("\noutput\n")
    assert "Exit code 1" in before
    assert output.splitlines()[0] == "first line"
    assert "\x1b" not in shown.stdout


async def test_show_prints_json(server: ManagedProcess, tmp_path: Path) -> None:
    job = await run_command(tmp_path, "show", "nightly", "--json", "--url", server.address)
    assert json.loads(job.stdout)["resume_command"] == "mzt resume nightly"
    sheet = await run_command(
        tmp_path, "show", "nightly", "--sheet", "2", "--json", "--url", server.address
    )
    assert json.loads(sheet.stdout)["number"] == 2


@pytest.mark.parametrize("arguments", [("show", "none"), ("show", "nightly", "--sheet", "9")])
async def test_unknown_job_or_sheet_exits_3(
    server: ManagedProcess, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    shown = await run_command(tmp_path, *arguments, "--url", server.address)
    assert (shown.exit_code, shown.stdout) == (3, "")
    assert shown.stderr.startswith("marianne-stream: ")
    assert shown.stderr.count("\n") == 1


async def test_runs_are_listed(
    server: ManagedProcess, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("weekly", 1)
    shown = await wait_for_value(
        lambda: run_command(tmp_path, "runs", "weekly", "--url", server.address),
        lambda found: "weekly" in found.stdout or "running" in found.stdout,
        timeout_s=15,
    )
    heading, row = shown.stdout.splitlines()
    assert heading.split() == ["RUN", "STATUS", "SHEETS", "STARTED", "DURATION", "ERROR"]
    assert row.split()[1:3] == ["running", "0/1"]
    as_json = await run_command(tmp_path, "runs", "weekly", "--json", "--url", server.address)
    assert json.loads(as_json.stdout)["job_id"] == "weekly"


async def test_conductor_is_shown(server: ManagedProcess, tmp_path: Path) -> None:
    shown = await run_command(tmp_path, "conductor", "--url", server.address)
    assert (shown.exit_code, shown.stderr) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    assert "version" in facts
    as_json = await run_command(tmp_path, "conductor", "--json", "--url", server.address)
    assert json.loads(as_json.stdout)["version"] == facts["version"].strip()


@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_show_fits_the_terminal_and_keeps_status_and_count(
    server: ManagedProcess, conductor: SimulatedConductor, tmp_path: Path, columns: int
) -> None:
    verb = ("show", "weekly", "--url", server.address)
    show = partial(run_command, tmp_path, *verb)
    conductor.launch("weekly", 3)
    # The server knows when a sheet began if it has seen it before.
    await wait_for_value(show, lambda found: "3      pending" in found.stdout)
    conductor.dispatch("weekly", 1)
    await wait_for_value(show, lambda found: ":" in found.lines[-3])
    conductor.complete_sheet("weekly", 1)
    conductor.fail_sheet("weekly", 2, "Exit code 1")
    conductor.finish("weekly", "failed")
    await wait_for_value(show, lambda found: "mzt" in found.stdout)
    async with open_terminal(tmp_path, *verb, columns=columns) as screen:
        assert await screen.wait() == 0
    lines = screen.text.splitlines()
    assert all(len(line) <= columns for line in lines)
    assert "failed, 1/3 sheets" in screen.text
    rows = lines[lines.index(next(line for line in lines if line.startswith("SHEET"))) + 1 :]
    assert [row.split()[:2] for row in rows if row[0].isdigit()] == [
        *(["1", "completed"], ["2", "failed"], ["3", "pending"]),
    ]
    assert ("━" in screen.text) is (columns > 40)
    assert "Exit code 1" in "".join(rows)


async def test_error_that_the_list_has_cut_is_shown_in_full(
    server: ManagedProcess, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    error = "the tide came in " * 60 + "at last"
    conductor.launch("weekly", 2)
    conductor.fail_sheet("weekly", 1, error)
    conductor.finish("weekly", "failed")
    shown = await run_command(tmp_path, "show", "weekly", "--url", server.address)
    assert (shown.exit_code, shown.stderr) == (0, "")
    row = next(line for line in shown.lines if line.startswith("1 "))
    assert row.endswith(error)
