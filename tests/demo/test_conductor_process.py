"""Tests of the simulated conductor as a process."""

import asyncio
import signal
from pathlib import Path

from tests.support.processes import run_conductor


async def test_sigterm_waits_for_clients_and_exits_0(tmp_path: Path) -> None:
    async with run_conductor(tmp_path) as process:
        socket = tmp_path / "c.sock"
        assert process.first_line == f"conductor listening at {socket}\n"
        reader, writer = await asyncio.open_unix_connection(socket)
        process.send_signal(signal.SIGTERM)
        shutting_down = False
        async with asyncio.timeout(5):
            while not shutting_down:
                writer.write(b'{"jsonrpc":"2.0","id":1,"method":"daemon.health","params":{}}\n')
                shutting_down = b'"shutting_down":true' in await reader.readline()
        assert process.is_running
        writer.close()
        await writer.wait_closed()
        assert await process.wait(timeout_s=5) == 0
        assert not socket.exists()


async def test_sigkill_leaves_the_socket_file(tmp_path: Path) -> None:
    async with run_conductor(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert (tmp_path / "c.sock").is_socket()
        assert (tmp_path / "state.db-wal").exists()
