"""The server and the simulated conductor as processes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

TIMEOUT_S = 20.0

CHECKOUT = Path(__file__).parents[2]


class ManagedProcess:
    """A process that prints a line when it is ready.

    Attributes:
        first_line: that line.
        output: standard output after that line.
        log: standard error so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._read_tasks: list[asyncio.Task[None]] = []
        self.first_line = self.output = ""
        self.log = ""

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """True until the process has ended."""
        return self._process.returncode is None

    @property
    def address(self) -> str:
        """Return the end of the first line: the server's URL."""
        return self.first_line.split()[-1]

    def rss_kib(self) -> int:
        """Return the resident memory in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0])

    def cpu_s(self) -> float:
        """Return the CPU time used so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")")[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def count_open_files(self) -> int:
        """Return the number of open files."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    async def wait_ready(self) -> None:
        """Wait for the first line and read the rest in the background."""
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
        """Send a signal."""
        self._process.send_signal(number)

    async def wait(self, *, timeout_s: float = TIMEOUT_S) -> int:
        """Wait for the process to end and return its exit code."""
        async with asyncio.timeout(timeout_s):
            code = await self._process.wait()
            await asyncio.gather(*self._read_tasks)
        return code


def run_process(
    *arguments: object, pass_fds: tuple[int, ...] = (), **environment: str
) -> AbstractAsyncContextManager[ManagedProcess]:
    """Run Python with these arguments."""
    command = (sys.executable, *map(str, arguments))
    return run_program(command, {**os.environ, **environment}, cwd=CHECKOUT, pass_fds=pass_fds)


@asynccontextmanager
async def run_program(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    cwd: Path,
    pass_fds: tuple[int, ...] = (),
) -> AsyncIterator[ManagedProcess]:
    """Run a program with exactly this environment."""
    started = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=environment,
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


def run_server(
    folder: Path, *arguments: object, **environment: str
) -> AbstractAsyncContextManager[ManagedProcess]:
    """Run a server on the conductor and registry in a directory."""
    return run_process(
        *("-m", "marianne_stream", "--port", 0, "--no-auth"),
        *("--conductor-socket", folder / "c.sock", "--registry-path", folder / "state.db"),
        *arguments,
        pass_fds=(),
        **environment,
    )


def run_conductor(folder: Path) -> AbstractAsyncContextManager[ManagedProcess]:
    """Run an idle simulated conductor as a process."""
    return run_process(
        Path(__file__).with_name("conductor_process.py"),
        *("--socket", folder / "c.sock", "--registry", folder / "state.db"),
    )
