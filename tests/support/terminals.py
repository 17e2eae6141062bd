"""Terminal commands as processes: in a pseudo-terminal, or with pipes."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import wait_until

CHECKOUT = Path(__file__).parents[2]
TIMEOUT_S = 20.0

CONTROL_SEQUENCE_RE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


@dataclass(frozen=True, slots=True)
class CompletedCommand:
    """Result of a process.

    Attributes:
        exit_code: the exit code.
        stdout: standard output.
        stderr: standard error.
    """

    exit_code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """Return the lines of its output."""
        return self.stdout.splitlines()


def make_environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return an environment without the files of the current user."""
    ours = {name: value for name, value in os.environ.items() if "MARIANNE_STREAM" not in name}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "STATE_DIRECTORY"):
        ours.pop(name, None)
    places = {"XDG_STATE_HOME": str(folder), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    return {**ours, **places, "PYTHONUNBUFFERED": "", **variables}


class PipedCommand:
    """A command whose output goes to pipes.

    Attributes:
        stdout: standard output so far.
        stderr: standard error so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self.stdout = self.stderr = ""
        self._read_tasks = [
            asyncio.create_task(self._read_stdout(process.stdout)),
            asyncio.create_task(self._read_stderr(process.stderr)),
        ]

    async def _read_stdout(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.stdout += line.decode()

    async def _read_stderr(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.stderr += line.decode()

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def close_stdout(self) -> None:
        """Close the reading end of its standard output, as `head` does."""
        # asyncio has no public access to that end, and closes it in a later iteration.
        pipe = self._process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        pipe.close()
        await wait_until(lambda: pipe._pipe is None)

    async def wait(self) -> CompletedCommand:
        """Wait until the command has ended."""
        async with asyncio.timeout(TIMEOUT_S):
            code = await self._process.wait()
            await asyncio.gather(*self._read_tasks)
        return CompletedCommand(code, self.stdout, self.stderr)


@asynccontextmanager
async def start_command(
    folder: Path, *arguments: object, **variables: str
) -> AsyncIterator[PipedCommand]:
    """Run a command with pipes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "marianne_stream", *map(str, arguments)),
        cwd=CHECKOUT,
        env=make_environment(folder, **variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = PipedCommand(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await running.wait()


async def run_command(folder: Path, *arguments: object, **variables: str) -> CompletedCommand:
    """Run a command to its end with pipes."""
    async with start_command(folder, *arguments, **variables) as running:
        return await running.wait()


class Terminal:
    """A pseudo-terminal with a running program.

    Attributes:
        raw: all output so far.
    """

    def __init__(self, process: asyncio.subprocess.Process, master_fd: int) -> None:
        self._process = process
        self._master_fd = master_fd
        self.raw = ""
        asyncio.get_running_loop().add_reader(master_fd, self._read)

    @property
    def text(self) -> str:
        """Return the output without control sequences."""
        return CONTROL_SEQUENCE_RE.sub("", self.raw)

    @property
    def frames(self) -> list[str]:
        """Return the drawings of a live display: the text between erased lines (ECMA-48)."""
        return [CONTROL_SEQUENCE_RE.sub("", frame) for frame in self.raw.split("\x1b[2K")]

    @property
    def last_frame(self) -> list[str]:
        """Return the lines that a live display has drawn last; there may be more to come."""
        return self.frames[-1].splitlines()

    def _read(self) -> None:
        try:
            data = os.read(self._master_fd, 65536)
        except OSError:
            # EIO: no process has the terminal open any more (pty(7)).
            data = b""
        if data:
            self.raw += data.decode("utf-8", "replace")
        else:
            asyncio.get_running_loop().remove_reader(self._master_fd)

    async def wait_for_text(self, text: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until a text has been printed."""
        await wait_until(lambda: text in self.text, timeout_s=timeout_s)

    def send_keys(self, keys: str) -> None:
        """Type keys."""
        os.write(self._master_fd, keys.encode())

    async def wait(self) -> int:
        """Wait for the program to end and return its exit code."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._process.wait()


def set_controlling_terminal() -> None:
    """Make standard input the controlling terminal, so that keys send signals (tty_ioctl(4))."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@asynccontextmanager
async def open_terminal(
    folder: Path, *arguments: object, columns: int = 80, program: str = "", **variables: str
) -> AsyncIterator[Terminal]:
    """Run a terminal command, or another program, in a pseudo-terminal of 24 rows."""
    screen, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [program] if program else [sys.executable, "-m", "marianne_stream"]
    process = await asyncio.create_subprocess_exec(
        *(*command, *map(str, arguments)),
        cwd=CHECKOUT,
        env=make_environment(folder, **variables),
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        preexec_fn=set_controlling_terminal,
    )
    os.close(inside)
    running = Terminal(process, screen)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        asyncio.get_running_loop().remove_reader(screen)
        os.close(screen)
