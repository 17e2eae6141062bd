"""Processes that are measured: started, listened to, and ended."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

TICKS_S = os.sysconf("SC_CLK_TCK")


class Measured:
    """A process that prints a line when it is there.

    Attributes:
        pid: the process that does the work, where it is another.
        began_s: how long that took, in seconds.
        address: the end of that line.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, began_s: float, line: str, *, pid: int = 0
    ) -> None:
        self.process = process
        self.pid = pid or process.pid
        self.began_s = began_s
        self.address = line.rpartition(" ")[2].strip()

    def cpu_s(self) -> float:
        """The processor time that it has used, in seconds, to a hundredth."""
        return processor_s(self.pid)

    def memory_kib(self) -> int:
        """The memory that it holds, and shares with no other, in KiB."""
        return private_kib(self.pid)

    def descriptors(self) -> int:
        """How many files it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    async def ask(self, line: str) -> dict[str, float]:
        """Writes a line to it, and reads a line of JSON."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the process was started without pipes")
        self.process.stdin.write(f"{line}\n".encode())
        found: dict[str, float] = json.loads(await self.process.stdout.readline())
        return found


def processor_s(pid: int) -> float:
    """The processor time that a process has used, in seconds, to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")")[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / TICKS_S


def private_kib(pid: int) -> int:
    """The memory that a process holds, and shares with no other, in KiB."""
    status = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines()[1:])
    return int(fields["Private_Dirty"].split()[0]) + int(fields["Private_Clean"].split()[0])


@asynccontextmanager
async def python(*arguments: object) -> AsyncIterator[Measured]:
    """Python with these arguments, for as long as the context lasts."""
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
        yield Measured(process, time.perf_counter() - began, line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def server(folder: Path, *options: object) -> AbstractAsyncContextManager[Measured]:
    """A server that looks for its conductor in a folder."""
    return python(
        *("-m", "marianne_stream", "--port", 0, "--log-level", "error", "--no-auth"),
        *("--max-streams-per-address", 20_000),
        *(
            "--conductor-socket",
            folder / "c.sock",
            "--registry-path",
            folder / "state.db",
            *options,
        ),
    )


def reader(
    address: str,
    path: str,
    connections: int,
    *headers: str,
    timeout_s: float = 30,
    room_bytes: int = 0,
) -> AbstractAsyncContextManager[Measured]:
    """A process that reads so many streams; there once each of them has begun.

    The kernel keeps `max_bytes` for each that are not read, or 0 for as much as it likes.
    """
    host, port = address.removeprefix("http://").split(":")
    script = Path(__file__).with_name("reader.py")
    return python(script, host, port, path, connections, timeout_s, room_bytes, *headers)


async def all_read(seen: Measured, quiet_s: float = 0.7) -> dict[str, float]:
    """What a reader has seen, once nothing more comes."""
    while True:
        found = await seen.ask("look")
        if found["quiet_s"] >= quiet_s:
            return await seen.ask("report")
        await asyncio.sleep(0.1)
