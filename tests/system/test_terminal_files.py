"""The `files` command as a process, against a server with a real workspace."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.faulty_proxy import FaultyProxy
from tests.support.log_files import append_lines
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

# More than the buffers between the server and a command whose output is not read.
BIG_FILE_BYTES = 32 * 1024 * 1024


@pytest.fixture
def workspace(log_path: Path) -> Path:
    """Return the workspace of the job `logged`, with a few files."""
    workspace = log_path.parent
    (workspace / "logs").mkdir()
    for age_s, name in enumerate(("report.md", "logs/sheet-01.stdout.log", ".env", ".hidden")):
        (workspace / name).write_text(f"{name}\n")
        os.utime(workspace / name, (1_700_000_000 - age_s, 1_700_000_000 - age_s))
    os.utime(log_path, (1_600_000_000, 1_600_000_000))
    return workspace


@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_files_are_listed_newest_first_on_terminals_of_any_width(
    server: ManagedProcess, workspace: Path, tmp_path: Path, columns: int
) -> None:
    arguments = ("files", "logged", "--url", server.address)
    async with open_terminal(tmp_path, *arguments, columns=columns) as screen:
        assert await screen.wait() == 0
        await screen.wait_for_text("marianne.log")
    lines = screen.text.splitlines()
    assert max(map(len, lines)) <= columns
    names = [line.split()[-1] for line in lines if "report" in line or "log" in line]
    assert names == ["report.md", "logs/sheet-01.stdout.log", "marianne.log"]
    assert ".env" not in screen.text


async def test_options_choose_and_order_the_list(
    server: ManagedProcess, workspace: Path, tmp_path: Path
) -> None:
    async def list_paths(*options: str) -> tuple[list[str], str]:
        arguments = ("files", "logged", "--json", *options, "--url", server.address)
        ended = await run_command(tmp_path, *arguments)
        assert ended.exit_code == 0
        return [json.loads(line)["path"] for line in ended.lines], ended.stderr

    log = "logs/sheet-01.stdout.log"
    assert await list_paths("--sort", "name") == ([log, "marianne.log", "report.md"], "")
    assert await list_paths("--glob", "logs/*") == ([log], "")
    by_name = ("--sort", "name", "--depth", "1", "--glob", "[lr]*")
    assert await list_paths(*by_name) == (["logs", "report.md"], "")
    assert await list_paths("--hidden", "--glob", ".*") == ([".hidden"], "")
    paths, message = await list_paths("--limit", "1")
    assert paths == ["report.md"]
    assert "not all files are listed" in message


async def test_listed_path_of_any_bytes_is_found(
    server: ManagedProcess, workspace: Path, tmp_path: Path
) -> None:
    name = b"a %41?#\xe9\\ \x1b[2J.bin"
    (workspace / os.fsdecode(name)).write_bytes(b"\0x\r\n")
    address = ("--url", server.address)
    listed = await run_command(tmp_path, "files", "logged", "--glob", "*.bin", "--json", *address)
    path = json.loads(listed.stdout)["path"]
    for form in (path, os.fsdecode(name)):
        found = await run_command(tmp_path, "files", "logged", form, *address)
        assert found == CompletedCommand(0, "\0x\r\n", "")


async def start_download(
    workspace: Path, tmp_path: Path, url: str
) -> tuple[bytes, asyncio.subprocess.Process]:
    """Start to print a big file to a pipe that is not read any further."""
    data = b"0123456789abcdef" * (BIG_FILE_BYTES // 16)
    (workspace / "big.bin").write_bytes(data)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "marianne_stream", "files", "logged", "big.bin", "--url", url),
        cwd=CHECKOUT,
        env=make_environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1024,
    )
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        assert await process.stdout.readexactly(100) == data[:100]
    return data, process


async def test_lost_connection_of_a_download_is_resumed(
    proxy: FaultyProxy, workspace: Path, tmp_path: Path
) -> None:
    data, process = await start_download(workspace, tmp_path, proxy.url)
    proxy.disconnect_all()
    async with asyncio.timeout(TIMEOUT_S):
        rest, messages = await process.communicate()
    assert process.returncode == 0
    assert rest == data[100:]
    assert proxy.connection_count == 2
    assert b"the connection was lost; trying again" in messages


async def test_file_that_changes_while_the_connection_is_lost_is_an_error(
    proxy: FaultyProxy, workspace: Path, tmp_path: Path
) -> None:
    _, process = await start_download(workspace, tmp_path, proxy.url)
    with (workspace / "big.bin").open("ab") as file:
        file.write(b"more")
    proxy.disconnect_all()
    async with asyncio.timeout(TIMEOUT_S):
        rest, messages = await process.communicate()
    assert process.returncode == 1
    assert len(rest) < BIG_FILE_BYTES - 100
    assert b"the file has changed since" in messages


async def test_reader_that_leaves_ends_a_download_quietly(
    server: ManagedProcess, workspace: Path, tmp_path: Path
) -> None:
    _, process = await start_download(workspace, tmp_path, server.address)
    # asyncio has no public access to the reading end.
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    async with asyncio.timeout(TIMEOUT_S):
        _, messages = await process.communicate()
    assert (process.returncode, messages) == (141, b"")


async def test_terminal_gets_text_and_no_binary_file(
    server: ManagedProcess, workspace: Path, tmp_path: Path
) -> None:
    (workspace / "text.html").write_text("\x1b]0;owned\x07<b>\x1b[8mtext</b>\n")
    (workspace / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    address = ("--url", server.address)
    async with open_terminal(tmp_path, "files", "logged", "text.html", *address) as screen:
        assert await screen.wait() == 0
        await screen.wait_for_text("<b>text</b>")
    assert "owned" not in screen.raw
    assert "\x1b[8m" not in screen.raw
    async with open_terminal(tmp_path, "files", "logged", "picture.png", *address) as screen:
        assert await screen.wait() == 1
        await screen.wait_for_text("the file is not a text")
    assert "PNG" not in screen.text


async def test_file_is_followed_until_its_job_has_ended(
    conductor: SimulatedConductor, proxy: FaultyProxy, workspace: Path, tmp_path: Path
) -> None:
    path = workspace / "logs" / "sheet-01.stdout.log"
    append_lines(path, "[info] one", "[error] two")
    arguments = ("files", "logged", "logs/sheet-01.stdout.log", "--url", proxy.url)
    async with start_command(tmp_path, *arguments, "-f", "-n", "1") as following:
        await wait_until(lambda: following.stdout == "[error] two\n")
        proxy.disconnect_all()
        append_lines(path, "three")
        await wait_until(lambda: following.stdout.endswith("three\n"))
        conductor.finish("logged", "completed")
        ended = await following.wait()
    assert (ended.exit_code, ended.stdout) == (0, "[error] two\nthree\n")
    chosen = await run_command(tmp_path, *arguments, "--level", "error")
    assert chosen == CompletedCommand(0, "[error] two\nthree\n", "")
    around = await run_command(tmp_path, *arguments, "--grep", "two", "-C", "1")
    assert around.lines == ["[info] one", "[error] two", "three"]
    lines = (await run_command(tmp_path, *arguments, "--json")).lines
    cursor = json.loads(lines[0])["cursor"]
    later = await run_command(tmp_path, *arguments, "--since-cursor", cursor)
    assert later.lines == ["[info] one", "[error] two", "three"]


@pytest.mark.parametrize("options", [(), ("-n", "5")])
async def test_missing_and_forbidden_files_have_their_exit_codes(
    server: ManagedProcess, workspace: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (workspace / "link.txt").symlink_to("report.md")
    for path, exit_code in (("none.txt", 6), ("link.txt", 5), (".env", 5), ("logs", 5)):
        ended = await run_command(
            tmp_path, "files", "logged", path, *options, "--url", server.address
        )
        assert (ended.exit_code, ended.stdout) == (exit_code, ""), path
        assert ended.stderr.startswith("marianne-stream: "), path
        assert len(ended.stderr.splitlines()) == 1, path
    unknown = await run_command(tmp_path, "files", "unknown", "--url", server.address)
    assert unknown.exit_code == 3


async def test_server_without_files_exits_6(
    conductor: SimulatedConductor, log_path: Path, tmp_path: Path
) -> None:
    async with run_server(tmp_path, "--no-files") as server:
        ended = await run_command(tmp_path, "files", "logged", "--url", server.address)
    assert ended.exit_code == 6
    assert len(ended.stderr.splitlines()) == 1
