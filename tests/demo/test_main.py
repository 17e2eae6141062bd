"""Tests of the simulated conductor as a process."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

Process = asyncio.subprocess.Process
Run = Callable[..., Awaitable[Process]]


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """Return a function that runs the command; processes are killed at the end."""
    processes: list[Process] = []

    async def run(*options: str) -> Process:
        command = [sys.executable, "-m", "marianne_stream.demo", "--socket", str(tmp_path / "s")]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, *options, stdout=pipe, stderr=pipe)
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def wait_until_listening(process: Process, path: Path) -> None:
    """Wait for the line that announces the socket."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 5)
    assert line.decode() == f"conductor listening at {path}\n"


async def test_sigterm_waits_for_clients_and_exits_0(run: Run, tmp_path: Path) -> None:
    process = await run("--scenario", "four-jobs", "--folder", str(tmp_path))
    await wait_until_listening(process, tmp_path / "s")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
    process.send_signal(signal.SIGTERM)
    shutting_down = False
    async with asyncio.timeout(5):
        while not shutting_down:
            writer.write(b'{"jsonrpc":"2.0","id":1,"method":"daemon.health","params":{}}\n')
            shutting_down = b'"shutting_down":true' in await reader.readline()
    assert process.returncode is None
    writer.close()
    await writer.wait_closed()
    assert await asyncio.wait_for(process.wait(), 5) == 0
    assert not (tmp_path / "s").exists()


async def test_sigkill_leaves_the_socket_file(run: Run, tmp_path: Path) -> None:
    process = await run("--scenario", "none", "--registry", str(tmp_path / "state.db"))
    await wait_until_listening(process, tmp_path / "s")
    process.kill()
    await process.wait()
    assert (tmp_path / "s").is_socket()
    assert (tmp_path / "state.db-wal").exists()


async def test_unreadable_recording_is_one_line_of_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("no\n")
    process = await run("--replay", str(tmp_path / "bad"))
    _, stderr = await asyncio.wait_for(process.communicate(), 5)
    assert process.returncode == 2
    assert stderr.decode().startswith(f"{tmp_path / 'bad'}, line 1: expected JSON")
    assert stderr.count(b"\n") == 1
