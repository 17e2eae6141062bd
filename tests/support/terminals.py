"""The verbs of the terminal as processes: in a real pseudo-terminal, or with pipes."""

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

from tests.support.waiting import until

CHECKOUT = Path(__file__).parents[2]
LIMIT_S = 20.0

DRAWING = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a process has left.

    Attributes:
        code: its exit code.
        out: what it wrote to standard output.
        errors: what it wrote to standard error.
    """

    code: int
    out: str
    errors: str

    @property
    def lines(self) -> list[str]:
        """The lines of its output."""
        return self.out.splitlines()


def environment(folder: Path, **more: str) -> dict[str, str]:
    """An environment in which nothing of this user's is found."""
    ours = {name: value for name, value in os.environ.items() if "MARIANNE_STREAM" not in name}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "STATE_DIRECTORY"):
        ours.pop(name, None)
    places = {"XDG_STATE_HOME": str(folder), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    return {**ours, **places, "PYTHONUNBUFFERED": "", **more}


class Piped:
    """A verb whose output goes into pipes.

    Attributes:
        out: what it wrote to standard output so far.
        errors: what it wrote to standard error so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self.out = self.errors = ""
        self._reading = [
            asyncio.create_task(self._read_out(process.stdout)),
            asyncio.create_task(self._read_errors(process.stderr)),
        ]

    async def _read_out(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.out += line.decode()

    async def _read_errors(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.errors += line.decode()

    def send(self, number: int) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def stop_reading(self) -> None:
        """Closes our end of its standard output, as head does when it has enough."""
        # asyncio keeps that end for itself.
        transport = self._process._transport  # type: ignore[attr-defined]
        transport.get_pipe_transport(1).close()

    async def ended(self) -> Ran:
        """Waits until it has ended."""
        async with asyncio.timeout(LIMIT_S):
            code = await self._process.wait()
            await asyncio.gather(*self._reading)
        return Ran(code, self.out, self.errors)


@asynccontextmanager
async def piped(folder: Path, *arguments: object, **more: str) -> AsyncIterator[Piped]:
    """A verb with pipes, for as long as the context lasts."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "marianne_stream", *map(str, arguments)),
        cwd=CHECKOUT,
        env=environment(folder, **more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Piped(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await running.ended()


async def ran(folder: Path, *arguments: object, **more: str) -> Ran:
    """Runs a verb to its end, with pipes."""
    async with piped(folder, *arguments, **more) as running:
        return await running.ended()


class Terminal:
    """A pseudo-terminal in which a program runs.

    Attributes:
        raw: all that it was sent.
    """

    def __init__(self, process: asyncio.subprocess.Process, screen: int) -> None:
        self._process = process
        self._screen = screen
        self.raw = ""
        asyncio.get_running_loop().add_reader(screen, self._read)

    @property
    def text(self) -> str:
        """The same without what draws."""
        return DRAWING.sub("", self.raw)

    def _read(self) -> None:
        try:
            data = os.read(self._screen, 65536)
        except OSError:
            # EIO: nobody has the terminal open any more (pty(7)).
            data = b""
        if data:
            self.raw += data.decode("utf-8", "replace")
        else:
            asyncio.get_running_loop().remove_reader(self._screen)

    async def saw(self, text: str, *, limit_s: float = LIMIT_S) -> None:
        """Waits until a text has been shown."""
        await until(lambda: text in self.text, limit_s=limit_s)

    def press(self, keys: str) -> None:
        """Types."""
        os.write(self._screen, keys.encode())

    async def ended(self) -> int:
        """Waits until the program has ended, and returns its exit code."""
        async with asyncio.timeout(LIMIT_S):
            return await self._process.wait()


def take_terminal() -> None:
    """Makes standard input the process's terminal, so that its keys send signals (tty_ioctl(4))."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@asynccontextmanager
async def terminal(
    folder: Path, *arguments: object, columns: int = 80, program: str = "", **more: str
) -> AsyncIterator[Terminal]:
    """A verb, or another program, in a terminal, for as long as the context lasts."""
    screen, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [program] if program else [sys.executable, "-m", "marianne_stream"]
    process = await asyncio.create_subprocess_exec(
        *(*command, *map(str, arguments)),
        cwd=CHECKOUT,
        env=environment(folder, **more),
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        preexec_fn=take_terminal,
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
