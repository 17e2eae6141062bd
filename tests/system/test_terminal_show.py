"""`show` and `runs`: a job with its sheets, one sheet in full, and recorded runs."""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess, run_server
from tests.support.terminals import open_terminal, run_command, start_command
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


@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_runs_fit_the_terminal_and_keep_status_and_count(
    server: ManagedProcess, conductor: SimulatedConductor, tmp_path: Path, columns: int
) -> None:
    conductor.launch("weekly", 3)
    verb = ("runs", "weekly", "--url", server.address)
    runs = partial(run_command, tmp_path, *verb)
    await wait_for_value(runs, lambda found: "running" in found.stdout, timeout_s=15)
    conductor.fail_sheet("weekly", 1, "The tide came in, and took all the boats along with it")
    conductor.finish("weekly", "failed")
    await wait_for_value(runs, lambda found: "tide" in found.stdout, timeout_s=15)
    async with open_terminal(tmp_path, *verb, columns=columns) as screen:
        assert await screen.wait() == 0
    heading, row, *error = screen.text.splitlines()
    assert max(map(len, (heading, row, *error))) <= columns
    assert ("STARTED" in heading, "DURATION" in heading) == (columns >= 80, columns >= 80)
    assert {"failed", "0/3"} <= set(row.split())
    assert "The tide came in, and took all the boats" in " ".join(" ".join([row, *error]).split())


async def test_conductor_is_shown(
    server: ManagedProcess, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("weekly", 2)
    conductor.dispatch("weekly", 1)
    conductor.limit_rate("weekly", 1, 3600)
    show = partial(run_command, tmp_path, "conductor", "--url", server.address)
    # The server asks the conductor every 10 s.
    shown = await wait_for_value(
        show, lambda found: "rate limit" in found.stdout and "waits" in found.stdout, timeout_s=25
    )
    assert (shown.exit_code, shown.stderr) == (0, "")
    facts = dict(line.split("  ", maxsplit=1) for line in shown.stdout.splitlines())
    facts = {name: value.strip() for name, value in facts.items()}
    assert {"version", "started", "memory", "load", "pressure"} <= set(facts)
    assert facts["running jobs"] == "1 of at most 15"
    assert (facts["sheets at once"], facts["connections"]) == ("25", "5")
    assert facts["rate limit"].startswith("cli, until 20")
    assert facts["waits"].startswith("weekly: ")
    as_json = await run_command(tmp_path, "conductor", "--json", "--url", server.address)
    assert json.loads(as_json.stdout)["version"] == facts["version"]


VERBS = [("show", "nightly"), ("show", "nightly", "--sheet", "2"), ("conductor",)]


@pytest.mark.parametrize("verb", VERBS[:2])
@pytest.mark.parametrize(
    ("variables", "has_colours"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
async def test_colours_depend_on_the_terminal(
    server: ManagedProcess,
    tmp_path: Path,
    verb: tuple[str, ...],
    variables: dict[str, str],
    has_colours: bool,  # noqa: FBT001
) -> None:
    place = ("--url", server.address)
    async with open_terminal(
        tmp_path, *verb, *place, columns=80, program="", **variables
    ) as screen:
        assert await screen.wait() == 0
    assert ("31m" in screen.raw) is has_colours
    assert ("\x1b" in screen.raw) is ("TERM" not in variables)


@pytest.mark.parametrize("verb", VERBS)
async def test_closed_pipe_exits_141(
    server: ManagedProcess, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    async with start_command(tmp_path, *verb, "--url", server.address) as running:
        await running.close_stdout()
        ended = await running.wait()
    assert (ended.exit_code, ended.stderr) == (141, "")


@pytest.mark.parametrize("verb", [*VERBS, ("runs", "nightly")])
async def test_unreachable_server_is_retried_for_the_time_of_the_option(
    tmp_path: Path, verb: tuple[str, ...]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ended = await run_command(tmp_path, *verb, "--url", url, "--retry-timeout", "0.1")
    sentence = f"marianne-stream: {url} cannot be reached: Connection refused"
    assert (ended.exit_code, ended.stdout) == (5, "")
    assert ended.stderr == f"{sentence}; trying again\n{sentence}\n"


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
