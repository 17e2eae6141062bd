"""All terminal commands as processes: output, errors and exit codes."""

import asyncio
import json
import re
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from marianne_stream.auth.token_source import ensure_token_source
from marianne_stream.cli.commands import COMMANDS
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.external import require_faketime
from tests.support.ports import free_port
from tests.support.processes import CHECKOUT, ManagedProcess, run_process
from tests.support.terminals import CompletedCommand, open_terminal, run_command, start_command
from tests.support.waiting import wait_for_value, wait_until

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m \x9b5n[bold]not rich"


@pytest.mark.parametrize("verb", [("jobs",), ("watch", "a"), ("logs", "a"), ("events",)])
async def test_unreachable_server_exits_5_with_one_sentence(
    tmp_path: Path, verb: tuple[str, ...]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ended = await run_command(tmp_path, *verb, "--url", url)
    sentence = f"marianne-stream: {url} cannot be reached: Connection refused\n"
    assert ended == CompletedCommand(5, "", sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("jobs", "--url", "nonsense"), "the server's address must be"),
        (("jobs", "--limit", "0"), "must be an integer from 1 to 1000000, got '0'"),
        (("watch", "a/b"), "a job id must have at least one character, and no /"),
        (("logs",), "the following arguments are required: JOB"),
        (("logs", "a", "-n", "1001"), "must be an integer from 0 to 1000, got '1001'"),
        (("logs", "a", "--level", "loud"), "invalid choice: 'loud'"),
        (("events", "--retry-timeout", "x"), "must be a number from 0 to 604800, got 'x'"),
        (("jobs", "--token-file", "/nowhere"), "the tokens in /nowhere cannot be read"),
        (("jobs", "--stat", "running"), "unrecognized arguments: --stat"),
        (("logs", "a", "--foll"), "unrecognized arguments: --foll"),
        (("serve", "--por", "1"), "unrecognized arguments: --por"),
        (("token", "--private"), "unrecognized arguments: --private"),
        (
            ("logs", "a", "--since", "yesterday"),
            "must be a duration as 10m, 2h or 1d, or an ISO 8601 time",
        ),
        (("logs", "a", "--since", "1h", "--since-cursor", "x"), "cannot be given together"),
        (("whatever",), "unknown command 'whatever'"),
        (("completion", "tcsh"), "invalid choice: 'tcsh'"),
    ],
)
async def test_invalid_arguments_exit_2_with_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = await run_command(tmp_path, *arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_jobs_through_a_pipe_print_aligned_columns(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    conductor.complete_sheet("a", 1)
    conductor.finish("a")
    conductor.launch("longer-name", 3)
    # The server may have read the registry just before the end was written there.
    ended = await wait_for_value(
        partial(run_command, tmp_path, "jobs", "--url", server.address),
        lambda ended: ended.lines[-1].endswith("s"),
    )
    head, first, second = ended.lines
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert [head.index(word) for word in ("JOB", "STATUS")] == [
        first.index("longer-name"),
        first.index("running"),
    ]
    assert first.split()[:3] == ["longer-name", "running", "0/3"]
    assert second.split()[:3] == ["a", "completed", "1/1"]
    assert not any(mark in ended.stdout for mark in "\t\x1b")


async def test_jobs_show_durations_by_the_server_clock(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    ended = await run_command(tmp_path, "jobs", "--url", server.address, **require_faketime(2))
    assert ended.exit_code == 0
    duration = ended.lines[1].split()[-1]
    assert duration.endswith("s"), duration


async def test_jobs_are_filtered_and_fetched_over_pages(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    for number in range(3):
        conductor.launch(f"night-{number}", 1)
    conductor.launch("day", 1)
    conductor.complete_sheet("day", 1)
    conductor.finish("day")

    async def chosen(*options: str) -> list[str]:
        ended = await run_command(tmp_path, "jobs", "--json", *options, "--url", server.address)
        assert ended.exit_code == 0
        return [json.loads(line)["job_id"] for line in ended.lines]

    assert await chosen("--name", "NIGHT") == ["night-2", "night-1", "night-0"]
    assert await chosen("--status", "completed") == ["day"]
    assert await chosen("--limit", "2") == ["day", "night-2"]


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_unknown_status_filter_names_the_known_ones(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path, form: tuple[str, ...]
) -> None:
    conductor.launch("a", 1)
    url = ("--url", server.address)
    ended = await run_command(tmp_path, "jobs", "--status", "runing", *form, *url)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr == (
        "marianne-stream: --status must be one of queued, pending, running, paused, "
        "paused_at_chain, completed, failed, cancelled, got 'runing'\n"
    )
    assert (await run_command(tmp_path, "jobs", "--status", "failed", *form, *url)).exit_code == 0
    # A newer conductor may have statuses that this version does not know.
    conductor.set_status("a", roster="rehearsing")
    ended = await wait_for_value(
        partial(run_command, tmp_path, "jobs", "--status", "rehearsing", *form, *url),
        lambda ended: ended.exit_code == 0,
    )
    assert "rehearsing" in ended.stdout


@pytest.mark.parametrize("columns", [80, 60, 40])
async def test_narrow_terminal_shows_status_sheets_and_duration(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path, columns: int
) -> None:
    long = "nightly-" + "very-" * 30 + "long-name-2026-11-28"
    conductor.launch(long, 1000)
    conductor.launch("short", 1)
    conductor.pause_at_chain(long)
    # Until the server has read the paused job, it does not know since when it waits.
    await wait_for_value(
        partial(run_command, tmp_path, "jobs", "--url", server.address),
        lambda ended: all(line.endswith("s") for line in ended.lines[1:]),
    )
    async with open_terminal(tmp_path, "jobs", "--url", server.address, columns=columns) as screen:
        await screen.wait_for_text("short")
        assert await screen.wait() == 0
        head, *rows = screen.text.splitlines()
    assert head.split()[:3] == ["JOB", "STATUS", "SHEETS"]
    assert head.split()[-1] == "DURATION"
    assert all(len(row) <= columns for row in rows)
    name, status, sheets = next(row for row in rows if "chain" in row).split()[:3]
    assert (status, sheets) == ("paused_at_chain", "0/1000")
    before, _, behind = name.partition("…")
    assert before
    assert behind
    assert long.startswith(before)
    assert long.endswith(behind)
    assert all(row.rstrip().endswith("s") for row in rows)


async def test_unix_socket_server_accepts_its_own_user_without_setup(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    private = tmp_path / "marianne-stream"
    ensure_token_source(None, private)
    path = tmp_path / "http.sock"
    async with run_process(
        *("-m", "marianne_stream", "--port", "none", "--uds", path, "--data-dir", private),
        *("--conductor-socket", tmp_path / "c.sock", "--registry-path", tmp_path / "state.db"),
    ):
        ended = await run_command(tmp_path, "jobs", "--json", MARIANNE_STREAM_URL=f"unix:{path}")
        assert json.loads(ended.stdout)["job_id"] == "a"
        stranger = await run_command(tmp_path / "elsewhere", "jobs", "--url", f"unix:{path}")
    assert stranger.exit_code == 5
    assert "A token is needed" in stranger.stderr
    assert "--token-file" in stranger.stderr
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", [("watch", "logged"), ("logs", "logged", "-f"), ("events",)])
async def test_signal_ends_a_command_without_output(
    server: ManagedProcess,
    log_path: Path,
    tmp_path: Path,
    verb: tuple[str, ...],
    number: signal.Signals,
) -> None:
    log_path.write_text("line\n")
    async with start_command(tmp_path, *verb, "--json", "--url", server.address) as watching:
        await wait_until(lambda: watching.stdout)
        watching.send_signal(number)
        ended = await watching.wait()
    assert (ended.exit_code, ended.stderr) == (128 + number, "")


@pytest.mark.parametrize(
    ("verb", "shown"),
    [
        (("jobs",), ""),
        (("watch", EVIL), "failed red"),
        (("watch",), "0/2"),
        (("events",), 'note="failed red'),
    ],
)
async def test_control_sequences_in_ids_and_messages_are_removed(
    conductor: SimulatedConductor,
    server: ManagedProcess,
    tmp_path: Path,
    verb: tuple[str, ...],
    shown: str,
) -> None:
    await wait_until(lambda: "monitor subscribed" in server.log)
    conductor.launch(EVIL, 2)
    conductor.emit(EVIL, "job.started", {"note": EVIL})
    async with open_terminal(tmp_path, *verb, "--url", server.address, columns=200) as screen:
        await screen.wait_for_text("red [bold]not rich")
        if shown:
            conductor.fail_sheet(EVIL, 1, f"failed {EVIL}")
            conductor.emit(EVIL, "job.failed", {"note": f"failed {EVIL}"})
            await screen.wait_for_text(shown)
            screen.send_keys("\x03")
        await screen.wait()
    assert not any(evil in screen.raw for evil in ("owned", "\x1b[2J", "\x9b", "\x1b]"))


async def test_events_are_printed_immediately(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    await wait_until(lambda: "monitor subscribed" in server.log)
    conductor.launch("a", 1)
    conductor.launch("b", 1)
    async with start_command(tmp_path, "events", "a", "--url", server.address) as one:
        conductor.emit("a", "job.note", {"text": "two words", "n": 1}, 3)
        await wait_until(lambda: "job.note" in one.stdout)
        one.send_signal(signal.SIGINT)
        ended = await one.wait()
    assert all(line.split()[2] == "a" for line in ended.lines)
    line = next(line for line in ended.lines if "job.note" in line)
    assert line.split(maxsplit=2)[2].split() == [
        *("a", "job.note", "sheet", "3"),
        *('text="two', 'words"', "n=1"),
    ]


async def test_events_of_a_job_are_its_own_unless_another_group_is_asked_for(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    await wait_until(lambda: "monitor subscribed" in server.log)
    conductor.launch("a", 1)
    conductor.launch("b", 1)
    url = ("--url", server.address)

    async def read(*options: str) -> tuple[set[str], str]:
        """Return the names of the events up to the last one, and the messages."""
        async with start_command(tmp_path, "events", "a", *options, *url) as reading:
            await wait_until(lambda: "last" in reading.stdout)
            reading.send_signal(signal.SIGINT)
            ended = await reading.wait()
        return {line.split()[3] for line in ended.lines}, ended.stderr

    emitted = {
        "job": ("sheet.note", "baton.note", "job.note"),
        "files": ("observer.file_created",),
        "processes": ("observer.process_spawned",),
    }
    for job_id in "ba":
        for name in sum(emitted.values(), ()):
            conductor.emit(job_id, name, {"text": "last" if job_id == "a" else "other"})
    own, messages = await read()
    assert own >= set(emitted["job"])
    assert not any(name.startswith("observer.") for name in own)
    assert messages == ""
    assert await read("--group", "files") == (set(emitted["files"]), "")
    processes, messages = await read("--group", "processes")
    assert processes == set(emitted["processes"])
    assert "some may not belong to the job" in messages
    everything, messages = await read("--group", "all")
    assert everything >= set(sum(emitted.values(), ()))
    assert "some may not belong to the job" in messages
    unknown = await run_command(tmp_path, "events", "none", *url)
    assert (unknown.exit_code, unknown.stdout) == (3, "")


async def test_server_does_not_import_rich_nor_terminal_the_server(
    tmp_path: Path,
) -> None:
    async def imported(*arguments: str) -> set[str]:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "importtime", "-m", "marianne_stream", *arguments),
            cwd=CHECKOUT,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await started.communicate()
        return set(re.findall(r"\|\s+([\w.]+)$", errors.decode(), re.MULTILINE))

    server = await imported("--version")
    assert "marianne_stream.app" in server
    assert not server & {"rich", "argcomplete", "marianne_stream.client"}
    terminal = await imported("watch", "--help")
    assert "marianne_stream.client.live_table" in terminal
    assert not terminal & {"pydantic", "aiosqlite", "marianne_stream.app"}


@pytest.mark.parametrize("option", ["--help", "-h"])
async def test_help_lists_commands_and_further_help(tmp_path: Path, option: str) -> None:
    ended = await run_command(tmp_path, option)
    assert (ended.exit_code, ended.stderr) == (0, "")
    told = {line.split()[0]: line for line in ended.lines if line.startswith("  ")}
    for name, place in COMMANDS.items():
        assert told[name].endswith(place.summary)
    assert "marianne-stream serve --help" in ended.stdout
    assert not any(len(line) > 80 for line in ended.lines)
    # Fits on one page of a terminal.
    assert len(ended.lines) <= 24


@pytest.mark.parametrize("verb", COMMANDS)
async def test_help_has_examples(tmp_path: Path, verb: str) -> None:
    ended = await run_command(tmp_path, verb, "--help", COLUMNS="80")
    assert ended.exit_code == 0
    assert f"marianne-stream {verb}" in ended.stdout
    assert not any(len(line) > 80 for line in ended.lines)
