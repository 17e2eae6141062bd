"""Processes that are measured: started, listened to, and ended."""

import asyncio
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
        began_s: how long that took, in seconds.
        address: the end of that line.
    """

    def __init__(self, process: asyncio.subprocess.Process, began_s: float, line: str) -> None:
        self.process = process
        self.began_s = began_s
        self.address = line.rsplit(maxsplit=1)[-1]

    def cpu_s(self) -> float:
        """The processor time that it has used, in seconds, to a hundredth."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")")[1]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / TICKS_S


@asynccontextmanager
async def python(*arguments: object) -> AsyncIterator[Measured]:
    """Python with these arguments, for as long as the context lasts."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, arguments),
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


def server(folder: Path) -> AbstractAsyncContextManager[Measured]:
    """A server that looks for its conductor in a folder."""
    return python(
        *("-m", "marianne_stream", "--port", 0, "--log-level", "error"),
        *("--socket", folder / "c.sock", "--registry", folder / "state.db"),
    )
