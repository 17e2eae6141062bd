"""Real processes: the server and the simulated conductor, each on its own, ended with the test."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

TIMEOUT_S = 20.0

CHECKOUT = Path(__file__).parents[2]


class ManagedProcess:
    """A process that says in one line that it is there.

    Attributes:
        first_line: that line.
        output: what it wrote to standard output after that.
        log: what it wrote to standard error so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._read_tasks: list[asyncio.Task[None]] = []
        self.first_line = self.output = ""
        self.log = ""

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def address(self) -> str:
        """Where it listens: the end of its first line."""
        return self.first_line.split()[-1]

    def rss_kib(self) -> int:
        """The memory that it holds, in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0])

    def cpu_s(self) -> float:
        """The processor time that it has used, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")")[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def count_open_files(self) -> int:
        """How many files it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    async def wait_ready(self) -> None:
        """Waits for the first line, and reads on in the background."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._read_tasks = [asyncio.create_task(self._read_log(self._process.stderr))]
        async with asyncio.timeout(TIMEOUT_S):
            self.first_line = (await self._process.stdout.readline()).decode()
        self._read_tasks.append(asyncio.create_task(self._read_output(self._process.stdout)))

    async def _read_log(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.log += line.decode()

    async def _read_output(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.output += line.decode()

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    async def wait(self, *, timeout_s: float = TIMEOUT_S) -> int:
        """Waits until it has ended, and returns its exit code."""
        async with asyncio.timeout(timeout_s):
            code = await self._process.wait()
            await asyncio.gather(*self._read_tasks)
        return code


@asynccontextmanager
async def run_process(
    *arguments: object, pass_fds: tuple[int, ...] = (), **environment: str
) -> AsyncIterator[ManagedProcess]:
    """Python with these arguments, for as long as the context lasts."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, arguments),
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        pass_fds=pass_fds,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = ManagedProcess(started)
    try:
        await running.wait_ready()
        yield running
    finally:
        if started.returncode is None:
            started.kill()
        await running.wait()


def run_server(folder: Path, *arguments: object) -> AbstractAsyncContextManager[ManagedProcess]:
    """A server that looks for its conductor and registry in a folder."""
    return run_process(
        *("-m", "marianne_stream", "--port", 0, "--no-auth"),
        *("--conductor-socket", folder / "c.sock", "--registry-path", folder / "state.db"),
        *arguments,
    )


def run_conductor(folder: Path, *arguments: object) -> AbstractAsyncContextManager[ManagedProcess]:
    """A simulated conductor as a process of its own, with nothing to do."""
    return run_process(
        *("-m", "marianne_stream.demo"),
        *("--socket", folder / "c.sock", "--registry", folder / "state.db"),
        *("--scenario", "none"),
        *arguments,
    )
