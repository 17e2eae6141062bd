"""A server that leaves while a log is watched, and the next one on the same socket."""

import asyncio
import itertools
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from marianne_stream.demo.conductor import SimulatedConductor
from marianne_stream.web.stream import DRAIN_STREAMS_PER_S
from marianne_stream.wire.sse import EventParser
from tests.support.processes import Process, process
from tests.support.waiting import until

# Passes a socket as systemd does (sd_listen_fds(3)), and becomes what else it is given.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""

LIMIT_S = 60.0


def places(folder: Path) -> tuple[object, ...]:
    """Where a server finds all that it needs in one folder."""
    return (
        "--conductor-socket",
        folder / "c.sock",
        "--registry-path",
        folder / "state.db",
        "--data-dir",
        folder,
    )


@asynccontextmanager
async def activated(
    sock: socket.socket, folder: Path, *options: object, **environment: str
) -> AsyncIterator[Process]:
    """A server that is passed its socket."""
    command = (sys.executable, "-m", "marianne_stream", *places(folder), *options)
    async with passed(sock, *command, **environment) as running:
        yield running


@asynccontextmanager
async def passed(
    sock: socket.socket, *command: object, **environment: str
) -> AsyncIterator[Process]:
    """A command of a unit that is passed its socket."""
    sock.set_inheritable(inheritable=True)
    script = ("-c", ACTIVATE, sock.fileno(), *command)
    async with process(*script, pass_fds=(sock.fileno(),), **environment) as running:
        yield running


class Watcher:
    """One who watches a log while the server is restarted, as cheaply as there have to be many.

    Args:
        url: the log's.

    Attributes:
        numbers: of the lines that it has seen, in order.
        ended_at: when its stream ended, in seconds of the monotonic clock.
        retry_s: how long it was asked to wait then.
        returned_at: when it began to come back; 0 before.
    """

    def __init__(self, url: str) -> None:
        self.numbers: list[int] = []
        self.ended_at = self.returned_at = 0.0
        self.retry_s: float | None = None
        self._url = url
        self._last_id = ""

    async def watch(self, session: aiohttp.ClientSession) -> None:
        """Watches to the end, comes back when it was asked to, and watches until cancelled."""
        await self._read(session)
        self.ended_at = time.monotonic()
        await asyncio.sleep(self.retry_s or 0.0)
        self.returned_at = time.monotonic()
        await self._read(session)

    async def _read(self, session: aiohttp.ClientSession) -> None:
        parser = EventParser(last_event_id=self._last_id)
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        async with session.get(self._url, headers=headers) as response:
            assert response.status == 200, await response.text()
            async for chunk in response.content.iter_any():
                for event in parser.feed(chunk):
                    if event.event == "log":
                        self.numbers.append(int(json.loads(event.data)["line"].split()[1]))
        self._last_id = parser.last_event_id
        self.retry_s = None if parser.retry_ms is None else parser.retry_ms / 1000

    @property
    def faults(self) -> list[str]:
        """Lines that are missing, doubled or out of order; that it was not told when to return."""
        found = [
            f"line {after} came behind {before}"
            for before, after in itertools.pairwise(self.numbers)
            if after != before + 1
        ]
        if self.retry_s is None:
            found.append("was not told when to come back")
        return found

    def asked_for_s(self, told_at: float) -> float:
        """For when it was asked to come back, after the server was told to leave."""
        return self.ended_at + (self.retry_s or 0.0) - told_at


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has happened.

    Attributes:
        watchers: all who watched.
        code: the exit code of the first server.
        told_at: when it was told to leave, in seconds of the monotonic clock.
        exit_s: how long it took to leave.
        drained_s: how long its streams were to be drained at least.
        last: the number of the last line.
        log: what the first server logged.
    """

    watchers: list[Watcher]
    code: int
    told_at: float
    exit_s: float
    drained_s: float
    last: int
    log: str

    @property
    def faults(self) -> list[str]:
        """What went wrong for anybody."""
        found = [fault for watcher in self.watchers for fault in watcher.faults]
        asked_for_s = [watcher.asked_for_s(self.told_at) for watcher in self.watchers]
        # It would meet the server that leaves, or all others at once.
        found += [
            f"was asked to come back after {asked_s:.2f} s, in a drain of {self.drained_s:.2f}"
            for asked_s in asked_for_s
            if asked_s < self.drained_s
        ]
        return found + [
            f"the last line is {watcher.numbers[-1]} and not {self.last}"
            for watcher in self.watchers
            if watcher.numbers[-1] != self.last
        ]


async def restart(
    folder: Path,
    conductor: SimulatedConductor,
    *,
    watchers: int,
    drain_s: float,
    line_every_s: float,
) -> Outcome:
    """Restarts a server whose streams follow a log that goes on, the next one on its socket."""
    (workspace := folder / "ws").mkdir()
    log = workspace / "marianne.log"
    log.write_text("line 0\n")
    conductor.launch("a", 1, workspace=str(workspace))
    options = ("--no-auth", "--drain-timeout-s", drain_s, "--max-streams-per-address", 2 * watchers)
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/api/jobs/a/logs?tail_lines=1"
        found = [Watcher(url) for _ in range(watchers)]
        async with watched(found), written(log, line_every_s) as writing:
            async with activated(sock, folder, *options) as old:
                await until(lambda: all(watcher.numbers for watcher in found), limit_s=LIMIT_S)
                told_at = time.monotonic()
                old.send(signal.SIGTERM)
                code = await old.ended(limit_s=LIMIT_S)
                exit_s = time.monotonic() - told_at
            async with activated(sock, folder, *options):
                await until(lambda: all(watcher.returned_at for watcher in found), limit_s=LIMIT_S)
                writing.cancel()
                await asyncio.wait([writing])
                last = int(log.read_text().split()[-1])
                await until(lambda: all(w.numbers[-1] == last for w in found), limit_s=LIMIT_S)
    drained_s = min(drain_s, watchers / DRAIN_STREAMS_PER_S)
    return Outcome(found, code, told_at, exit_s, drained_s, last, old.log)


@asynccontextmanager
async def watched(watchers: list[Watcher]) -> AsyncIterator[None]:
    """All of them watch for as long as the context lasts.

    One that fails sees no more lines, which is how it is noticed.
    """
    timeout = aiohttp.ClientTimeout(total=None)
    # Each comes back by a connection of its own, as browsers of many people do.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        watching = [asyncio.create_task(watcher.watch(session)) for watcher in watchers]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)


@asynccontextmanager
async def written(log: Path, line_every_s: float) -> AsyncIterator["asyncio.Task[None]"]:
    """A log to which numbered lines are written for as long as the context lasts."""

    async def write() -> None:
        for number in itertools.count(1):
            await asyncio.sleep(line_every_s)
            with log.open("a") as file:
                file.write(f"line {number}\n")

    writing = asyncio.create_task(write())
    try:
        yield writing
    finally:
        writing.cancel()
        await asyncio.wait([writing])
