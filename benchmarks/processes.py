"""Processes under test."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# Time without data after which a reader has read everything.
QUIET_S = 0.7


class MeasuredProcess:
    """A process that prints a line when it is ready.

    Attributes:
        pid: id of the process that does the work.
        startup_s: time to the first line, in seconds.
        address: the end of that line.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, startup_s: float, line: str, *, pid: int = 0
    ) -> None:
        self.process = process
        self.pid = pid or process.pid
        self.startup_s = startup_s
        self.address = line.rpartition(" ")[2].strip()

    def cpu_s(self) -> float:
        """Return the CPU time used so far, in seconds, to a hundredth."""
        return process_cpu_s(self.pid)

    def memory_kib(self) -> int:
        """Return its private memory in KiB."""
        return process_memory_kib(self.pid)

    def count_open_files(self) -> int:
        """Return the number of open files."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    async def request(self, command: str) -> dict[str, float]:
        """Write a line to it and return the line of JSON that it answers."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the process was started without pipes")
        self.process.stdin.write(f"{command}\n".encode())
        found: dict[str, float] = json.loads(await self.process.stdout.readline())
        return found


def process_cpu_s(pid: int) -> float:
    """Return the CPU time of a process, in seconds, to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")")[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / TICKS_PER_S


def process_memory_kib(pid: int) -> int:
    """Return the private memory of a process in KiB."""
    status = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines()[1:])
    return int(fields["Private_Dirty"].split()[0]) + int(fields["Private_Clean"].split()[0])


@asynccontextmanager
async def run_python(*arguments: object) -> AsyncIterator[MeasuredProcess]:
    """Run Python with these arguments."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    if process.stdout is None:
        raise RuntimeError("the process was started without a pipe")
    try:
        line = (await process.stdout.readline()).decode()
        yield MeasuredProcess(process, time.perf_counter() - began, line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def run_server(folder: Path, *options: object) -> AbstractAsyncContextManager[MeasuredProcess]:
    """Run a server on the conductor in a directory."""
    return run_python(
        *("-m", "marianne_stream", "--port", 0, "--log-level", "error", "--no-auth"),
        *("--max-streams-per-address", 20_000),
        *(
            "--conductor-socket",
            folder / "c.sock",
            "--registry-path",
            folder / "state.db",
            "--data-dir",
            folder / "data",
            *options,
        ),
    )


def run_reader(
    address: str,
    path: str,
    connection_count: int,
    *headers: str,
    timeout_s: float = 30,
    receive_buffer_bytes: int = 0,
) -> AbstractAsyncContextManager[MeasuredProcess]:
    """Run a process that reads many streams; it is ready once each stream has begun.

    `receive_buffer_bytes` limits the receive buffer of each stream; 0 is the kernel's default.
    """
    host, port = address.removeprefix("http://").split(":")
    script = Path(__file__).with_name("stream_reader.py")
    return run_python(
        script, host, port, path, connection_count, timeout_s, receive_buffer_bytes, *headers
    )


async def wait_all_read(reader: MeasuredProcess) -> dict[str, float]:
    """Wait until nothing more arrives; return the reader's report."""
    while True:
        found = await reader.request("idle")
        if found["quiet_s"] >= QUIET_S:
            return await reader.request("report")
        await asyncio.sleep(0.1)
