"""The `logs` command as a process: printing, resuming, piping and filtering."""

import asyncio
import fcntl
import json
import os
import shlex
import signal
import struct
import sys
import termios
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from select import PIPE_BUF
from zoneinfo import ZoneInfo

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.faulty_proxy import FaultyProxy
from tests.support.log_files import append_lines
from tests.support.ports import free_port
from tests.support.processes import CHECKOUT, ManagedProcess, run_server
from tests.support.terminals import (
    TIMEOUT_S,
    CompletedCommand,
    make_environment,
    open_terminal,
    run_command,
    start_command,
)
from tests.support.waiting import wait_until

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m \x9b5n[bold]not rich"


async def test_invalid_pattern_exits_2(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    ended = await run_command(tmp_path, "logs", "logged", "--grep", "(", "--url", server.address)
    assert ended.exit_code == 2
    assert "regex is invalid" in ended.stderr


async def test_logs_prints_a_log_and_follows_it_to_its_end(
    conductor: SimulatedConductor, server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, *(f"line {number}" for number in range(5)))
    address = ("--url", server.address)
    assert (await run_command(tmp_path, "logs", "logged", "-n", "2", *address)) == CompletedCommand(
        0, "line 3\nline 4\n", ""
    )
    async with start_command(tmp_path, "logs", "logged", "-f", "-n", "1", *address) as following:
        await wait_until(lambda: following.stdout == "line 4\n")
        append_lines(log_path, "é ✓ WARNING", "last")
        await wait_until(lambda: following.stdout.endswith("last\n"))
        conductor.finish("logged", "completed")
        ended = await following.wait()
    assert ended == CompletedCommand(0, "line 4\né ✓ WARNING\nlast\n", "")
    chosen = await run_command(tmp_path, "logs", "logged", "--level", "warning", *address)
    assert chosen.lines == ["é ✓ WARNING", "last"]
    chosen = await run_command(tmp_path, "logs", "logged", "--grep", "(?i)LINE [12]", *address)
    assert chosen.lines == ["line 1", "line 2"]


async def test_context_lines_are_printed_as_by_grep(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(
        log_path, *(f"line {number:02}" for number in range(30)), "[error] x", "Traceback:", "  y"
    )
    address = ("--url", server.address)
    found = await run_command(tmp_path, "logs", "logged", "--grep", "0[37]|12", "-C", "1", *address)
    expected = ["02", "03", "04", "--", "06", "07", "08", "--", "11", "12", "13"]
    assert found.lines == [each if each == "--" else f"line {each}" for each in expected]
    found = await run_command(tmp_path, "logs", "logged", "--level", "error", "-C", "1", *address)
    assert found.lines == ["line 29", "[error] x", "Traceback:", "  y"]
    found = await run_command(
        tmp_path, "logs", "logged", "--grep", "line", "-n", "2", "-C", "0", "--json", *address
    )
    said = [json.loads(line)["data"] for line in found.lines]
    assert [(each["line"], each["match"]) for each in said] == [
        *(("line 28", True), ("line 29", True)),
    ]
    for options in (("--grep", "x", "-f"), ()):
        refused = await run_command(tmp_path, "logs", "logged", "-C", "1", *options, *address)
        assert refused.exit_code == 2
        assert "-C " in refused.stderr


async def test_truncated_line_is_marked(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, "short", "x" * 70_000, "last")
    ended = await run_command(tmp_path, "logs", "logged", "--url", server.address)
    assert ended.lines == ["short", "x" * 65_536, "last"]
    assert ended.stderr == (
        "marianne-stream: line 2 is longer than 64 KiB: its beginning is shown\n"
    )


async def test_script_resumes_after_its_cursor(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    async def new(*options: str) -> tuple[list[str], str]:
        ended = await run_command(
            tmp_path, "logs", "logged", "--json", *options, "--url", server.address
        )
        said = [json.loads(line) for line in ended.lines]
        return [each["data"]["line"] for each in said if each["event"] == "log"], said[-1]["cursor"]

    lines, cursor = await new("-n", "0")
    assert lines == []
    append_lines(log_path, "one", "two")
    lines, cursor = await new("--since-cursor", cursor)
    assert lines == ["one", "two"]
    lines, cursor = await new("--since-cursor", cursor)
    assert lines == []
    append_lines(log_path, "three")
    assert (await new("--since-cursor", cursor))[0] == ["three"]


async def test_expired_cursor_is_reported(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, "one")
    options = ("--since-cursor", "nonsense", "--url", server.address)
    ended = await run_command(tmp_path, "logs", "logged", *options)
    assert ended.stdout == "one\n"
    assert "the position has expired" in ended.stderr


async def test_lost_connection_resumes_without_repeated_lines(
    conductor: SimulatedConductor, proxy: FaultyProxy, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, "line 1")
    async with start_command(tmp_path, "logs", "logged", "-f", "--url", proxy.url) as following:
        await wait_until(lambda: following.stdout == "line 1\n")
        proxy.disconnect_all()
        append_lines(log_path, "line 2", "line 3")
        await wait_until(lambda: following.stdout.endswith("line 3\n"))
        conductor.finish("logged", "completed")
        ended = await following.wait()
    assert ended.stdout == "line 1\nline 2\nline 3\n"
    assert ended.stderr.splitlines() == [
        f"marianne-stream: {proxy.url} cannot be reached: the connection was lost; trying again",
        "marianne-stream: connected again",
    ]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_restarted_server_resumes_without_repeated_lines(
    conductor: SimulatedConductor, log_path: Path, tmp_path: Path, number: signal.Signals
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    append_lines(log_path, "line 1")
    async with (
        run_server(tmp_path, "--port", port) as first,
        start_command(tmp_path, "logs", "logged", "-f", "--url", url) as following,
        start_command(tmp_path, "watch", "logged", "--url", url) as watching,
    ):
        await wait_until(lambda: following.stdout == "line 1\n" and "running" in watching.stdout)
        first.send_signal(number)
        await first.wait()
        append_lines(log_path, "line 2")
        async with run_server(tmp_path, "--port", port):
            await wait_until(lambda: following.stdout.endswith("line 2\n"), timeout_s=30)
            conductor.finish("logged", "completed")
            read, watched = await following.wait(), await watching.wait()
    assert read.stdout == "line 1\nline 2\n"
    assert read.stderr.count("trying again") == read.stderr.count("connected again") == 1
    assert watched.exit_code == 0
    assert len(watched.lines) == len({line.split(maxsplit=1)[1] for line in watched.lines})


async def test_closed_pipe_ends_logs_quietly(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, *(f"line {number} {'x' * 1000}" for number in range(1000)))
    async with start_command(
        tmp_path, "logs", "logged", "-n", "1000", "-f", "--url", server.address
    ) as following:
        await wait_until(lambda: following.stdout)
        await following.close_stdout()
        append_lines(log_path, "written after the reader has gone")
        ended = await following.wait()
    assert (ended.exit_code, ended.stderr) == (141, "")


async def test_closed_pipe_ends_follow_at_the_next_line(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, "first line")
    async with start_command(
        tmp_path, "logs", "logged", "-f", "--url", server.address
    ) as following:
        await wait_until(lambda: following.stdout)
        await following.close_stdout()
        append_lines(log_path, "second line")
        ended = await following.wait()
    assert (ended.exit_code, ended.stderr) == (141, "")


async def test_pipe_into_head_prints_no_error(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, *(f"line {number}" for number in range(1000)))
    command = shlex.join([sys.executable, "-m", "marianne_stream", "logs", "logged", "-n", "1000"])
    shell = await asyncio.create_subprocess_shell(
        f"{command} --url {server.address} | head -n 1",
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert await shell.communicate() == (b"line 0\n", b"")


async def test_full_disk_is_reported_in_one_sentence(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, "line")
    command = shlex.join([sys.executable, "-m", "marianne_stream", "logs", "logged"])
    shell = await asyncio.create_subprocess_shell(
        f"{command} --url {server.address} > /dev/full",
        cwd=CHECKOUT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await shell.communicate()
    sentence = "marianne-stream: the output cannot be written: No space left on device\n"
    assert (shell.returncode, errors.decode()) == (1, sentence)


async def test_terminal_gets_colours_and_no_other_sequences(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, EVIL)
    verb = ("logs", "logged", "--url", server.address)
    async with open_terminal(tmp_path, *verb) as screen:
        assert await screen.wait() == 0
    assert screen.raw == "\x1b[31mred\x1b[0m [bold]not rich\r\n"
    async with open_terminal(tmp_path, *verb, NO_COLOR="1") as screen:
        assert await screen.wait() == 0
    assert screen.raw == "red [bold]not rich\r\n"
    assert (await run_command(tmp_path, *verb)).stdout == "red [bold]not rich\n"
    assert "\x1b[31mred" in (await run_command(tmp_path, *verb, "--color", "always")).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_ends_logs_while_the_pipe_is_full(
    server: ManagedProcess, log_path: Path, tmp_path: Path, number: signal.Signals
) -> None:
    append_lines(log_path, *(f"line {number} {'x' * 1000}" for number in range(1000)))
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "marianne_stream", "logs", "logged", "-n", "1000", "-f", "--json"),
        *("--url", server.address),
        cwd=CHECKOUT,
        env=make_environment(tmp_path),
        stdout=writer,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writer)
    try:
        # The pipe is full, except for the remainder of the last write.
        full = fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ) - PIPE_BUF
        await wait_until(lambda: unread_bytes(reader) >= full)
        process.send_signal(number)
        async with asyncio.timeout(TIMEOUT_S):
            _, errors = await process.communicate()
    finally:
        os.close(reader)
        if process.returncode is None:
            process.kill()
    assert (process.returncode, errors) == (128 + number, b"")


def unread_bytes(reader: int) -> int:
    """Return how many bytes of a pipe are unread (pipe(7))."""
    return struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, bytes(4)))[0]  # type: ignore[no-any-return]


def timestamped_line(seconds_ago: float, text: str) -> str:
    """Return a line with a timestamp this long ago."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return f"{moment.isoformat(timespec='milliseconds')} [info] {text}"


async def test_since_starts_at_the_first_line_after_the_time(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, timestamped_line(7200, "two hours"), "  below it")
    # More than one page.
    append_lines(
        log_path, *(timestamped_line(1800, f"half an hour {number}") for number in range(1500))
    )
    append_lines(log_path, "  below it, too", timestamped_line(60, "a minute"))
    logs = partial(run_command, tmp_path, "logs", "logged", "--url", server.address)

    def lines(ended: CompletedCommand) -> list[str]:
        assert (ended.exit_code, ended.stderr) == (0, "")
        return [line.rpartition("] ")[2] for line in ended.lines]

    half = [f"half an hour {number}" for number in range(1500)]
    newest = ["  below it, too", "a minute"]
    assert lines(await logs("--since", "10m")) == ["a minute"]
    assert lines(await logs("--since", "1h")) == [*half, *newest]
    assert lines(await logs("--since", "1d")) == ["two hours", "  below it", *half, *newest]
    assert lines(await logs("--since", "10s")) == []
    assert lines(await logs("--since", "1h", "--grep", "1499|minute")) == [half[-1], *newest]
    local = (datetime.now(UTC) - timedelta(hours=1)).astimezone(ZoneInfo("Asia/Kathmandu"))
    since = local.replace(tzinfo=None).isoformat()
    assert lines(await logs("--since", since, TZ="Asia/Kathmandu")) == [*half, *newest]


async def test_since_with_follow_continues(
    conductor: SimulatedConductor, server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, timestamped_line(60, "a minute"))
    options = ("--json", "-f", "--since", "1h", "--url", server.address)
    async with start_command(tmp_path, "logs", "logged", *options) as following:
        await wait_until(lambda: following.stdout)
        append_lines(log_path, timestamped_line(0, "now"))
        await wait_until(lambda: "now" in following.stdout)
        conductor.finish("logged")
        ended = await following.wait()
    events = [json.loads(line) for line in ended.lines]
    assert [event["event"] for event in events] == ["log", "log", "log_complete"]
    assert [event["data"]["line_number"] for event in events[:2]] == [1, 2]
    assert all(event["cursor"] for event in events)
    assert events[0]["data"].keys() >= events[1]["data"].keys() - {"level"}


async def test_since_without_timestamps_is_reported(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_lines(log_path, "no time", "none here, either")
    ended = await run_command(tmp_path, "logs", "logged", "--since", "1h", "--url", server.address)
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert "the newest lines have no time" in ended.stderr


async def test_since_of_a_missing_log_prints_all_later_lines(
    conductor: SimulatedConductor, server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    log_path.unlink()
    url = ("--url", server.address)
    assert (await run_command(tmp_path, "logs", "logged", "--since", "1h", *url)).exit_code == 6
    async with start_command(tmp_path, "logs", "logged", "-f", "--since", "1h", *url) as following:
        await wait_until(lambda: "no log" in following.stderr)
        append_lines(log_path, "first")
        await wait_until(lambda: following.stdout == "first\n")
        conductor.finish("logged")
        assert (await following.wait()).exit_code == 0
