"""`logs` of several jobs, of one sheet, and on a terminal of any width."""

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.log_files import append_bytes, append_lines
from tests.support.processes import ManagedProcess, run_server
from tests.support.terminals import open_terminal, run_command, start_command
from tests.support.waiting import wait_for_value, wait_until


def launch(conductor: SimulatedConductor, folder: Path, job_id: str, *lines: str) -> Path:
    """Launch a job of two sheets with a log, and return the path of the log."""
    (workspace := folder / f"ws-{job_id}").mkdir()
    conductor.launch(job_id, 2, workspace=str(workspace))
    append_lines(workspace / "marianne.log", *lines)
    return workspace / "marianne.log"


async def test_several_logs_are_ordered_by_time_and_labelled(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    launch(
        conductor, tmp_path, "a", "2026-11-24 03:00:01 one", "  below it", "2026-11-24 03:00:04 z"
    )
    launch(conductor, tmp_path, "nightly-b", "2026-11-24 03:00:02 two", "2026-11-24 03:00:03 three")
    logs = partial(run_command, tmp_path, "logs", "--url", server.address)
    ended = await logs("a", "nightly-*")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.lines == [
        "a         | 2026-11-24 03:00:01 one",
        "a         |   below it",
        "nightly-b | 2026-11-24 03:00:02 two",
        "nightly-b | 2026-11-24 03:00:03 three",
        "a         | 2026-11-24 03:00:04 z",
    ]
    assert (await logs("[an]*", "--grep", "t[wh]")).lines == [
        f"nightly-b | 2026-11-24 03:00:0{text}" for text in ("2 two", "3 three")
    ]
    said = [json.loads(line) for line in (await logs("a", "nightly-b", "--json", "-n", "1")).lines]
    assert [(each["event"], each["data"]["job_id"]) for each in said] == [
        *(("log", "nightly-b"), ("log_complete", "nightly-b"), ("log", "a"), ("log_complete", "a")),
    ]
    assert all(each["cursor"] for each in said)


async def test_several_logs_are_followed_until_all_end(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    first = launch(conductor, tmp_path, "nightly-1", "2026-11-24 03:00:02 past")
    second = launch(conductor, tmp_path, "nightly-2", "2026-11-24 03:00:01 past")
    verb = ("logs", "nightly*", "-f", "--url", server.address)
    async with start_command(tmp_path, *verb) as following:
        await wait_until(lambda: len(following.stdout.splitlines()) == 2)
        append_lines(first, "new in 1")
        await wait_until(lambda: "new in 1" in following.stdout)
        append_lines(second, "new in 2")
        await wait_until(lambda: "new in 2" in following.stdout)
        for job_id in ("nightly-1", "nightly-2"):
            conductor.finish(job_id)
        ended = await following.wait()
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.lines == [
        *("nightly-2 | 2026-11-24 03:00:01 past", "nightly-1 | 2026-11-24 03:00:02 past"),
        *("nightly-1 | new in 1", "nightly-2 | new in 2"),
    ]


async def test_job_that_begins_later_and_matches_is_followed_too(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    launch(conductor, tmp_path, "nightly-1", "past")
    verb = ("logs", "nightly*", "-f", "--url", server.address)
    async with start_command(tmp_path, *verb) as following:
        await wait_until(lambda: "past" in following.stdout)
        launch(conductor, tmp_path, "weekly-1", "of no interest")
        launch(conductor, tmp_path, "nightly-2", "new job")
        await wait_until(lambda: "new job" in following.stdout)
        for job_id in ("nightly-1", "nightly-2"):
            conductor.finish(job_id)
        ended = await following.wait()
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.lines == ["nightly-1 | past", "nightly-2 | new job"]


async def test_job_that_runs_again_and_matches_is_followed_from_its_last_line(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    launch(conductor, tmp_path, "nightly-1", "past of 1")
    log = launch(conductor, tmp_path, "nightly-2", "past of 2")
    verb = ("logs", "nightly*", "-f", "--json", "--url", server.address)
    async with start_command(tmp_path, *verb) as following:
        await wait_until(lambda: len(following.stdout.splitlines()) == 2)
        conductor.finish("nightly-2", "failed", error_message="Exit code 1")
        await wait_until(lambda: "log_complete" in following.stdout)
        conductor.resume("nightly-2")
        append_lines(log, "second run")
        await wait_until(lambda: "second run" in following.stdout)
        for job_id in ("nightly-1", "nightly-2"):
            conductor.finish(job_id)
        ended = await following.wait()
    assert (ended.exit_code, ended.stderr) == (0, "")
    of_second = [each for each in map(json.loads, ended.lines) if "2" in each["data"]["job_id"]]
    assert [(each["event"], each["data"].get("line")) for each in of_second] == [
        *(("log", "past of 2"), ("log_complete", None)),
        *(("log", "second run"), ("log_complete", None)),
    ]


async def test_unfinished_line_of_one_of_several_jobs_is_redrawn_below_the_others(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    first = launch(conductor, tmp_path, "a", "past")
    second = launch(conductor, tmp_path, "b")
    verb = ("logs", "a", "b", "-f", "--url", server.address)
    async with open_terminal(tmp_path, *verb) as screen:
        await screen.wait_for_text("a | past")
        append_bytes(first, b"\r50 %")
        await screen.wait_for_text("a | 50 %")
        append_lines(second, "whole")
        await wait_until(lambda: screen.text.endswith("b | whole\r\na | 50 %"))
        append_bytes(first, b"\rdone\n")
        await screen.wait_for_text("a | done\r\n")
        for job_id in ("a", "b"):
            conductor.finish(job_id)
        assert await screen.wait() == 0
    assert screen.raw.endswith("a | 50 %\r\x1b[K\x1b[36ma\x1b[0m | done\r\n")


async def test_job_whose_id_looks_like_a_pattern_is_one_job(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    launch(conductor, tmp_path, "build[7]", "one", "two")
    launch(conductor, tmp_path, "build7", "other")
    logs = partial(run_command, tmp_path, "logs", "build[7]", "--url", server.address)
    assert (await logs()).lines == ["one", "two"]
    assert (await logs("--grep", "one", "-C", "1")).lines == ["one", "two"]
    first = json.loads((await logs("--json")).lines[0])
    assert "job_id" not in first["data"]
    assert (await logs("--since-cursor", first["cursor"])).lines == ["two"]
    refused = await run_command(
        tmp_path, "logs", "build*", "--since-cursor", first["cursor"], "--url", server.address
    )
    assert refused.exit_code == 2
    assert "--since-cursor cannot be given with several jobs or a pattern" in refused.stderr


@pytest.mark.parametrize("job_id", [".", "..", "a b", "50%"])
async def test_job_with_an_unusual_id_has_a_log(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path, job_id: str
) -> None:
    launch(conductor, tmp_path, job_id, "line")
    ended = await run_command(tmp_path, "logs", job_id, "--url", server.address)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "line\n", "")
    shown = await run_command(tmp_path, "show", job_id, "--json", "--url", server.address)
    assert json.loads(shown.stdout)["job_id"] == job_id


async def test_error_of_one_job_does_not_stop_the_others(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    launch(conductor, tmp_path, "a", "line")
    conductor.launch("quiet", 1, workspace=str(tmp_path / "none"))
    logs = partial(run_command, tmp_path, "logs", "--url", server.address)
    ended = await logs("a", "none")
    assert (ended.exit_code, ended.stdout) == (3, "a    | line\n")
    assert ended.stderr == "marianne-stream: none: Job not found: none\n"
    ended = await logs("a", "quiet")
    assert (ended.exit_code, ended.stdout) == (6, "a     | line\n")
    assert ended.stderr.startswith("marianne-stream: quiet: ")
    ended = await logs("a", "z*")
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert ended.stderr == "marianne-stream: no job matches 'z*'\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a", "b", "--since-cursor", "x"), "--since-cursor cannot be given with several jobs"),
        (("a", "b", "--grep", "x", "-C", "1"), "-C cannot be given with several jobs"),
        (("a", "--sheet", "1", "-f"), "--sheet cannot be given with -f"),
        (("a", "--sheet", "1", "--since", "1h"), "cannot be given together"),
        (("a", "b/c"), "a job id must have at least one character, and no /"),
    ],
)
async def test_options_that_exclude_each_other_exit_2(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = await run_command(tmp_path, "logs", *arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert sentence in ended.stderr


async def test_lines_of_a_sheet_are_those_of_its_span(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    log = launch(conductor, tmp_path, "logged", "2026-11-24 03:00:00 long ago", "  below it")
    async with run_server(tmp_path, "--data-dir", tmp_path / "data") as server:
        url = ("--url", server.address)
        logs = partial(run_command, tmp_path, "logs", "logged", *url)
        ended = await logs("--sheet", "2")
        assert (ended.exit_code, ended.stdout) == (0, "")
        assert ended.stderr == "marianne-stream: logged: sheet 2 has not started\n"
        assert (await logs("--sheet", "9")).exit_code == 3
        conductor.dispatch("logged", 2)
        sheet = await wait_for_value(
            partial(run_command, tmp_path, "show", "logged", "--sheet", "2", "--json", *url),
            lambda found: "started_at" in json.loads(found.stdout),
        )
        started_at = json.loads(sheet.stdout)["started_at"]
        append_lines(log, f"{started_at} in the sheet", "  a part of it", f"{started_at} last")
        assert [line.rpartition("Z")[2] for line in (await logs("--sheet", "2")).lines] == [
            *(" in the sheet", "  a part of it", " last"),
        ]
        conductor.complete_sheet("logged", 2)
        await wait_for_value(
            partial(run_command, tmp_path, "show", "logged", "--sheet", "2", "--json", *url),
            lambda found: "completed_at" in json.loads(found.stdout),
        )
        append_lines(log, "2099-11-24 03:00:00 after the sheet", "  below")
        ended = await logs("--sheet", "2")
        assert len(ended.lines) == 3
        found = await logs("--sheet", "2", "--grep", "last|after", "-C", "1")
        assert [line.rpartition("Z")[2] for line in found.lines] == ["  a part of it", " last"]


async def test_lines_of_a_sheet_include_late_ones_and_those_of_several_jobs(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    log = launch(conductor, tmp_path, "logged")
    launch(conductor, tmp_path, "other", "of no sheet")
    async with run_server(tmp_path, "--data-dir", tmp_path / "data") as server:
        url = ("--url", server.address)
        show = partial(run_command, tmp_path, "show", "logged", "--sheet", "2", "--json", *url)
        assert "started_at" not in json.loads((await show()).stdout)
        conductor.dispatch("logged", 2)
        await wait_for_value(show, lambda found: "started_at" in json.loads(found.stdout))
        conductor.complete_sheet("logged", 2)
        sheet = await wait_for_value(show, lambda found: "completed_at" in json.loads(found.stdout))
        started_s, ended_s = (
            datetime.fromisoformat(json.loads(sheet.stdout)[name]).timestamp()
            for name in ("started_at", "completed_at")
        )
        moments = {"before": started_s - 60, "in": started_s, "out": ended_s + 9, "late": ended_s}
        append_lines(
            log,
            *(
                f"{datetime.fromtimestamp(moment_s, UTC).isoformat()} {text}"
                for text, moment_s in moments.items()
            ),
        )
        ended = await run_command(tmp_path, "logs", "logged", "--sheet", "2", *url)
        assert [line.split()[-1] for line in ended.lines] == ["in", "late"]
        ended = await run_command(tmp_path, "logs", "logged", "other", "--sheet", "2", *url)
        assert [line.split()[-1] for line in ended.lines] == ["in", "late"]
        assert all(line.startswith("logged | ") for line in ended.lines)
        assert ended.stderr == "marianne-stream: other: sheet 2 has not started\n"


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu"])
async def test_lines_without_a_zone_are_of_the_servers_zone(
    conductor: SimulatedConductor, tmp_path: Path, zone: str
) -> None:
    log = launch(conductor, tmp_path, "a")
    launch(conductor, tmp_path, "b", "2026-11-24T03:00:01Z second")
    local = datetime(2026, 11, 24, 3, tzinfo=UTC).astimezone(ZoneInfo(zone))
    for second, text in ((0, "first"), (2, "third")):
        append_lines(log, f"{local.replace(second=second, tzinfo=None).isoformat()} {text}")
    async with run_server(tmp_path, TZ=zone) as server:
        logs = partial(run_command, tmp_path, "logs", "--url", server.address, TZ="Europe/Madrid")
        assert [line.split()[-1] for line in (await logs("a", "b")).lines] == [
            *("first", "second", "third"),
        ]
        since = ("--since", "2026-11-24T03:00:01Z")
        assert [line.split()[-1] for line in (await logs("a", *since)).lines] == ["third"]
        found = await logs("a", *since, "--grep", "t", "-C", "0")
        assert [line.split()[-1] for line in found.lines] == ["third"]


async def test_context_since_a_time_is_printed_in_full(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(
        log_path,
        *("2026-11-24 03:00:00 x old", "2026-11-24 03:00:01 before", "2026-11-24 03:00:02 x"),
        *(f"2026-11-24 03:00:03 {number}" for number in range(200)),
        *(f"2026-11-24 03:00:04 x {number}" for number in range(1500)),
    )
    options = ("--grep", "x", "-C", "1", "--since", "2026-11-24 03:00:01", "--url", server.address)
    found = await run_command(tmp_path, "logs", "logged", *options)
    assert [line[20:] for line in found.lines[:6]] == ["before", "x", "0", "", "199", "x 0"]
    assert found.lines[-1] == "2026-11-24 03:00:04 x 1499"
    assert len(found.lines) == 3 + 1 + 1 + 1500


JSON_LINE = '{"event": "the tide is in", "level": "error", "timestamp": "2026-11-24T03:00:00Z"}'


@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_terminal_lays_json_out_and_wraps_words_and_a_pipe_does_not(
    server: ManagedProcess, log_path: Path, tmp_path: Path, columns: int
) -> None:
    words = "2026-11-24 03:00:01 [warning] " + "words and words " * 20 + "end"
    append_lines(log_path, JSON_LINE, words)
    verb = ("logs", "logged", "--url", server.address)
    assert (await run_command(tmp_path, *verb)).lines == [JSON_LINE, words]
    async with open_terminal(tmp_path, *verb, columns=columns) as screen:
        assert await screen.wait() == 0
    first, *rest = screen.text.splitlines()
    time = "03:00:00" if columns == 40 else "2026-11-24T03:00:00Z"
    assert first == f"{time} [error] the tide is in"
    assert all(len(row) <= columns for row in rest)
    assert all(row.startswith("  ") for row in rest[1:])
    assert " ".join(" ".join(rest).split()).endswith(words[20:])
    assert "\x1b[1;31m[error]" in screen.raw
    async with open_terminal(tmp_path, *verb, columns=columns, NO_COLOR="1") as screen:
        assert await screen.wait() == 0
    assert "\x1b" not in screen.raw
    async with open_terminal(tmp_path, *verb, columns=columns, TERM="dumb") as screen:
        assert await screen.wait() == 0
    assert screen.raw.splitlines() == [JSON_LINE, words]


@pytest.mark.parametrize("columns", [40, 80])
async def test_labels_of_several_logs_are_cut_on_a_terminal(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path, columns: int
) -> None:
    long = "nightly-" + "very-" * 10 + "long"
    launch(conductor, tmp_path, long, "the tide is in, and the wind is from the west " * 3)
    launch(conductor, tmp_path, "a", "line")
    verb = ("logs", long, "a", "--url", server.address)
    async with open_terminal(tmp_path, *verb, columns=columns) as screen:
        assert await screen.wait() == 0
    rows = screen.text.splitlines()
    assert all(len(row) <= columns for row in rows)
    label = rows[0].partition(" | ")[0]
    assert (len(label), label[0], label[-1]) == (columns // 4, "n", "g")
    assert rows[1].startswith(" " * (columns // 4 + 3))
    assert rows[-1].split() == ["a", "|", "line"]
