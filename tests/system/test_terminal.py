"""The terminal's verbs as processes, in a real terminal and through pipes, with a real server."""

import asyncio
import json
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from marianne_stream.access.places import token_place
from marianne_stream.demo.conductor import SimulatedConductor
from tests.support.cutting import Wire, wire_to
from tests.support.external import program
from tests.support.log_torture import free_port
from tests.support.processes import CHECKOUT, Process, process, server
from tests.support.terminals import Ran, Terminal, piped, ran, terminal
from tests.support.waiting import until

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m \x9b5n[bold]not rich"


@pytest.fixture
async def running(conductor: SimulatedConductor, tmp_path: Path) -> AsyncIterator[Process]:
    """A server that asks the conductor."""
    async with server(tmp_path) as running:
        yield running


@pytest.fixture
async def wire(running: Process) -> AsyncIterator[Wire]:
    """A wire to that server, which can be cut."""
    async with wire_to(running.address) as wire:
        yield wire


@pytest.fixture
async def log(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """The log of a job `logged`, which runs."""
    (workspace := tmp_path / "ws").mkdir()
    (log := workspace / "marianne.log").touch()
    conductor.launch("logged", 2, workspace=str(workspace))
    return log


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


def append(log: Path, *lines: str) -> None:
    """Writes lines to a log."""
    with log.open("a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


OUTCOMES = {"completed": 0, "failed": 1, "cancelled": 4}


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
        conductor.complete_sheet("a", 1)
        await screen.saw("1/3")
        screen.press("\x03")
        assert await screen.ended() == 130
    assert "Traceback" not in screen.text
    assert "over " not in screen.text
    assert cursor_is_shown(screen)


def play_all(conductor: SimulatedConductor, job_id: str) -> None:
    """Ends a job of one sheet."""
    conductor.complete_sheet(job_id, 1)
    conductor.finish(job_id)


def cursor_is_shown(screen: Terminal) -> bool:
    """Whether the cursor that was hidden has come back (DECTCEM)."""
    return screen.raw.rindex("\x1b[?25h") > screen.raw.rindex("\x1b[?25l")


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


@pytest.mark.parametrize("verb", [("jobs",), ("watch", "a"), ("logs", "a"), ("events",)])
async def test_a_server_that_is_not_there_is_a_sentence_and_exit_5(
    tmp_path: Path, verb: tuple[str, ...]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ended = await ran(tmp_path, *verb, "--url", url)
    sentence = f"marianne-stream: {url} cannot be reached: Connection refused\n"
    assert ended == Ran(5, "", sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("jobs", "--url", "nonsense"), "the server's address must be"),
        (("jobs", "--limit", "0"), "must be a whole number from 1 to 1000000, got '0'"),
        (("watch", "a/b"), "a job's id holds any characters but /"),
        (("logs",), "the following arguments are required: JOB"),
        (("logs", "a", "-n", "1001"), "must be a whole number from 0 to 1000, got '1001'"),
        (("logs", "a", "--level", "loud"), "invalid choice: 'loud'"),
        (("events", "--patience", "x"), "must be a number from 0 to 604800, got 'x'"),
        (("jobs", "--token-file", "/nowhere"), "the tokens in /nowhere cannot be read"),
        (("whatever",), "there is no verb 'whatever'"),
        (("completion", "tcsh"), "invalid choice: 'tcsh'"),
    ],
)
async def test_what_cannot_be_understood_is_a_sentence_and_exit_2(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = await ran(tmp_path, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert sentence in ended.errors
    assert "Traceback" not in ended.errors


async def test_a_pattern_that_the_server_cannot_use_is_exit_2(
    running: Process, log: Path, tmp_path: Path
) -> None:
    ended = await ran(tmp_path, "logs", "logged", "--grep", "(", "--url", running.address)
    assert ended.code == 2
    assert "regex cannot be used" in ended.errors


async def test_jobs_are_a_table_in_columns_through_a_pipe(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    play_all(conductor, "a")
    conductor.launch("longer-name", 3)
    ended = await ran(tmp_path, "jobs", "--url", running.address)
    head, first, second = ended.lines
    assert (ended.code, ended.errors) == (0, "")
    assert [head.index(word) for word in ("JOB", "STATUS")] == [
        first.index("longer-name"),
        first.index("running"),
    ]
    assert first.split()[:3] == ["longer-name", "running", "0/3"]
    assert second.split()[:3] == ["a", "completed", "1/1"]
    # The job's end is known, too.
    assert second.split()[-1].endswith("s")
    assert not any(mark in ended.out for mark in "\t\x1b")


async def test_jobs_can_be_chosen_and_are_all_fetched(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    for number in range(3):
        conductor.launch(f"night-{number}", 1)
    conductor.launch("day", 1)
    play_all(conductor, "day")

    async def chosen(*options: str) -> list[str]:
        ended = await ran(tmp_path, "jobs", "--json", *options, "--url", running.address)
        assert ended.code == 0
        return [json.loads(line)["job_id"] for line in ended.lines]

    assert await chosen("--name", "NIGHT") == ["night-2", "night-1", "night-0"]
    assert await chosen("--status", "completed") == ["day"]
    assert await chosen("--limit", "2") == ["day", "night-2"]


async def test_a_server_at_a_unix_socket_lets_its_own_user_in_without_any_set_up(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    conductor.launch("a", 1)
    private = tmp_path / "marianne-stream"
    token_place(None, private)
    path = tmp_path / "http.sock"
    async with process(
        *("-m", "marianne_stream", "--port", "none", "--unix", path, "--private-dir", private),
        *("--socket", tmp_path / "c.sock", "--registry", tmp_path / "state.db"),
    ):
        ended = await ran(tmp_path, "jobs", "--json", MARIANNE_STREAM_URL=f"unix:{path}")
        assert json.loads(ended.out)["job_id"] == "a"
        stranger = await ran(tmp_path / "elsewhere", "jobs", "--url", f"unix:{path}")
    assert stranger.code == 5
    assert "A token is needed" in stranger.errors
    assert "--token-file" in stranger.errors
    assert not (tmp_path / "elsewhere").exists()


async def test_a_log_is_printed_as_it_is_and_followed_to_its_end(
    conductor: SimulatedConductor, running: Process, log: Path, tmp_path: Path
) -> None:
    append(log, *(f"line {number}" for number in range(5)))
    address = ("--url", running.address)
    assert (await ran(tmp_path, "logs", "logged", "-n", "2", *address)) == Ran(
        0, "line 3\nline 4\n", ""
    )
    async with piped(tmp_path, "logs", "logged", "-f", "-n", "1", *address) as following:
        await until(lambda: following.out == "line 4\n")
        append(log, "é ✓ WARNING", "last")
        await until(lambda: following.out.endswith("last\n"))
        conductor.finish("logged", "completed")
        ended = await following.ended()
    assert ended == Ran(0, "line 4\né ✓ WARNING\nlast\n", "")
    chosen = await ran(tmp_path, "logs", "logged", "--level", "warning", *address)
    assert chosen.lines == ["é ✓ WARNING"]
    chosen = await ran(tmp_path, "logs", "logged", "--grep", "(?i)LINE [12]", *address)
    assert chosen.lines == ["line 1", "line 2"]


async def test_a_script_goes_on_where_it_stopped(
    running: Process, log: Path, tmp_path: Path
) -> None:
    async def new(*options: str) -> tuple[list[str], str]:
        ended = await ran(tmp_path, "logs", "logged", "--json", *options, "--url", running.address)
        said = [json.loads(line) for line in ended.lines]
        return [each["data"]["line"] for each in said if each["event"] == "log"], said[-1]["cursor"]

    lines, cursor = await new("-n", "0")
    assert lines == []
    append(log, "one", "two")
    lines, cursor = await new("--since-cursor", cursor)
    assert lines == ["one", "two"]
    lines, cursor = await new("--since-cursor", cursor)
    assert lines == []
    append(log, "three")
    assert (await new("--since-cursor", cursor))[0] == ["three"]


async def test_a_place_that_is_not_known_any_more_is_said(
    running: Process, log: Path, tmp_path: Path
) -> None:
    append(log, "one")
    options = ("--since-cursor", "nonsense", "--url", running.address)
    ended = await ran(tmp_path, "logs", "logged", *options)
    assert ended.out == "one\n"
    assert "the place in the log is not known any more" in ended.errors


async def test_a_cut_connection_is_taken_up_again_without_a_line_twice(
    conductor: SimulatedConductor, wire: Wire, log: Path, tmp_path: Path
) -> None:
    append(log, "line 1")
    async with piped(tmp_path, "logs", "logged", "-f", "--url", wire.url) as following:
        await until(lambda: following.out == "line 1\n")
        wire.cut()
        append(log, "line 2", "line 3")
        await until(lambda: following.out.endswith("line 3\n"))
        conductor.finish("logged", "completed")
        ended = await following.ended()
    assert ended.out == "line 1\nline 2\nline 3\n"
    assert ended.errors.splitlines() == [
        f"marianne-stream: {wire.url} cannot be reached: the connection was lost; trying again",
        "marianne-stream: connected again",
    ]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_server_that_is_started_anew_is_read_on_without_a_line_twice(
    conductor: SimulatedConductor, log: Path, tmp_path: Path, number: signal.Signals
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    append(log, "line 1")
    async with (
        server(tmp_path, "--port", port) as first,
        piped(tmp_path, "logs", "logged", "-f", "--url", url) as following,
        piped(tmp_path, "watch", "logged", "--url", url) as watching,
    ):
        await until(lambda: following.out == "line 1\n" and "running" in watching.out)
        first.send(number)
        await first.ended()
        append(log, "line 2")
        async with server(tmp_path, "--port", port):
            await until(lambda: following.out.endswith("line 2\n"))
            conductor.finish("logged", "completed")
            read, watched = await following.ended(), await watching.ended()
    assert read.out == "line 1\nline 2\n"
    assert read.errors.count("trying again") == read.errors.count("connected again") == 1
    assert watched.code == 0
    assert len(watched.lines) == len({line.split(maxsplit=1)[1] for line in watched.lines})


async def test_head_takes_its_lines_and_nobody_complains(
    running: Process, log: Path, tmp_path: Path
) -> None:
    append(log, *(f"line {number} {'x' * 1000}" for number in range(1000)))
    async with piped(
        tmp_path, "logs", "logged", "-n", "1000", "-f", "--url", running.address
    ) as following:
        await until(lambda: following.out)
        following.stop_reading()
        ended = await following.ended()
    assert (ended.code, ended.errors) == (141, "")


async def test_who_follows_leaves_with_his_reader_though_nothing_is_written(
    running: Process, log: Path, tmp_path: Path
) -> None:
    append(log, "the only line")
    async with piped(tmp_path, "logs", "logged", "-f", "--url", running.address) as following:
        await until(lambda: following.out)
        following.stop_reading()
        ended = await following.ended()
    assert (ended.code, ended.errors) == (141, "")


async def test_a_shell_pipes_into_head_without_a_word(
    running: Process, log: Path, tmp_path: Path
) -> None:
    append(log, *(f"line {number}" for number in range(1000)))
    command = shlex.join([sys.executable, "-m", "marianne_stream", "logs", "logged", "-n", "1000"])
    shell = await asyncio.create_subprocess_shell(
        f"{command} --url {running.address} | head -n 1",
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert await shell.communicate() == (b"line 0\n", b"")


async def test_a_full_disk_is_a_sentence(running: Process, log: Path, tmp_path: Path) -> None:
    append(log, "line")
    command = shlex.join([sys.executable, "-m", "marianne_stream", "logs", "logged"])
    shell = await asyncio.create_subprocess_shell(
        f"{command} --url {running.address} > /dev/full",
        cwd=CHECKOUT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await shell.communicate()
    sentence = "marianne-stream: the output cannot be written: No space left on device\n"
    assert (shell.returncode, errors.decode()) == (1, sentence)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", [("watch", "logged"), ("logs", "logged", "-f"), ("events",)])
async def test_who_is_asked_to_end_does_so_without_a_word(
    running: Process,
    log: Path,
    tmp_path: Path,
    verb: tuple[str, ...],
    number: signal.Signals,
) -> None:
    append(log, "line")
    async with piped(tmp_path, *verb, "--json", "--url", running.address) as watching:
        await until(lambda: watching.out)
        watching.send(number)
        ended = await watching.ended()
    assert (ended.code, ended.errors) == (128 + number, "")


async def test_a_board_gives_the_terminal_back_at_sigterm(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    conductor.launch("a", 3)
    async with terminal(tmp_path, "watch", "a", "--url", running.address) as screen:
        await screen.saw("running")
        screen._process.terminate()
        assert await screen.ended() == 143
    assert cursor_is_shown(screen)


async def test_colours_of_a_log_reach_a_terminal_and_nothing_else_of_its_sequences(
    running: Process, log: Path, tmp_path: Path
) -> None:
    append(log, EVIL)
    verb = ("logs", "logged", "--url", running.address)
    async with terminal(tmp_path, *verb) as screen:
        assert await screen.ended() == 0
    assert screen.raw == "\x1b[31mred\x1b[0m [bold]not rich\x1b[0m\r\n"
    async with terminal(tmp_path, *verb, NO_COLOR="1") as screen:
        assert await screen.ended() == 0
    assert screen.raw == "red [bold]not rich\r\n"
    assert (await ran(tmp_path, *verb)).out == "red [bold]not rich\n"
    assert "\x1b[31mred" in (await ran(tmp_path, *verb, "--color", "always")).out


@pytest.mark.parametrize(
    ("verb", "shown"),
    [
        (("jobs",), ""),
        (("watch", EVIL), ": failed red"),
        (("watch",), "0/2"),
        (("events",), 'note="failed red'),
    ],
)
async def test_an_evil_id_or_message_does_nothing_to_a_terminal(
    conductor: SimulatedConductor,
    running: Process,
    tmp_path: Path,
    verb: tuple[str, ...],
    shown: str,
) -> None:
    await until(lambda: "subscribed" in running.log)
    conductor.launch(EVIL, 2)
    conductor.emit(EVIL, "job.started", {"note": EVIL})
    async with terminal(tmp_path, *verb, "--url", running.address, columns=200) as screen:
        await screen.saw("red [bold]not rich")
        if shown:
            conductor.fail_sheet(EVIL, 1, f"failed {EVIL}")
            conductor.emit(EVIL, "job.failed", {"note": f"failed {EVIL}"})
            await screen.saw(shown)
            screen.press("\x03")
        await screen.ended()
    assert not any(evil in screen.raw for evil in ("owned", "\x1b[2J", "\x9b", "\x1b]"))


async def test_events_are_printed_as_they_come(
    conductor: SimulatedConductor, running: Process, tmp_path: Path
) -> None:
    await until(lambda: "subscribed" in running.log)
    conductor.launch("a", 1)
    conductor.launch("b", 1)
    async with piped(tmp_path, "events", "a", "--url", running.address) as one:
        conductor.emit("a", "job.note", {"text": "two words", "n": 1}, 3)
        await until(lambda: "job.note" in one.out)
        one.send(signal.SIGINT)
        ended = await one.ended()
    assert all(line.split()[1] == "a" for line in ended.lines)
    line = next(line for line in ended.lines if "job.note" in line)
    assert line.split(maxsplit=1)[1].split() == [
        *("a", "job.note", "sheet", "3"),
        *('text="two', 'words"', "n=1"),
    ]


@pytest.fixture
def in_path(tmp_path: Path) -> str:
    """A PATH that begins with a folder in which `marianne-stream` lies."""
    (folder := tmp_path / "bin").mkdir()
    script = folder / "marianne-stream"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {CHECKOUT}/run_server.py "$@"\n')
    script.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
async def test_a_shell_completes_verbs_and_jobs_at_a_key(
    conductor: SimulatedConductor, running: Process, tmp_path: Path, in_path: str, shell: str
) -> None:
    conductor.launch("tide-tables", 1)
    conductor.launch("paper-boats", 1)
    quiet = {"bash": ("--norc", "--noprofile", "-i"), "zsh": ("-f", "-i")}[shell]
    variables = {"PATH": in_path, "MARIANNE_STREAM_URL": running.address, "HOME": str(tmp_path)}
    async with terminal(
        tmp_path, *quiet, columns=200, program=program(shell), **variables
    ) as screen:
        if shell == "zsh":
            screen.press("autoload -Uz compinit; compinit -u -D\n")
        screen.press(f'eval "$(marianne-stream completion {shell})"; echo rea""dy\n')
        await screen.saw("ready\r\n")
        screen.press("marianne-stream wat\t")
        await screen.saw("stream watch")
        screen.press("ti\t")
        await screen.saw("tide-tables")
    assert "paper-boats" not in screen.text


async def test_fish_completes_verbs_and_jobs(
    conductor: SimulatedConductor, running: Process, tmp_path: Path, in_path: str
) -> None:
    conductor.launch("tide-tables", 1)
    asked = "marianne-stream completion fish | source; complete -C'marianne-stream watch '"
    shell = await asyncio.create_subprocess_exec(
        *(program("fish"), "-c", asked),
        env={"PATH": in_path, "MARIANNE_STREAM_URL": running.address, "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await shell.communicate()
    assert output.decode().split() == ["tide-tables"]


async def test_a_server_that_does_not_answer_in_time_completes_nothing(tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        line = "marianne-stream watch "
        ended = await ran(
            tmp_path,
            _ARGCOMPLETE="1",
            _ARGCOMPLETE_STDOUT_FILENAME=str(answers),
            COMP_LINE=line,
            COMP_POINT=str(len(line)),
            MARIANNE_STREAM_URL=url,
        )
    assert (ended.code, ended.out) == (0, "")
    assert answers.read_text().strip() == ""


async def test_the_server_loads_nothing_that_draws_and_the_terminal_nothing_that_serves(
    tmp_path: Path,
) -> None:
    async def loaded(*arguments: str) -> str:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "importtime", "-m", "marianne_stream", *arguments),
            cwd=CHECKOUT,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await started.communicate()
        return errors.decode()

    serving = await loaded("--version")
    assert "marianne_stream.app" in serving
    assert not any(name in serving for name in ("rich", "argcomplete", "marianne_stream.client"))
    shown = await loaded("watch", "--help")
    assert "marianne_stream.client.board" in shown
    assert not any(name in shown for name in ("pydantic", "aiosqlite", "marianne_stream.app"))


@pytest.mark.parametrize("verb", ["jobs", "watch", "logs", "events", "completion"])
async def test_help_has_examples(tmp_path: Path, verb: str) -> None:
    ended = await ran(tmp_path, verb, "--help", COLUMNS="80")
    assert ended.code == 0
    assert f"marianne-stream {verb}" in ended.out
    assert not any(len(line) > 80 for line in ended.lines)
