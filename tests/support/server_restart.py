"""Restart of a server under log streams, with its socket kept open."""

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

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.web.stream_registry import DRAIN_STREAMS_PER_S
from marianne_stream.wire.sse import EventParser, ServerSentEvent
from tests.support.processes import ManagedProcess, run_process
from tests.support.waiting import wait_until

# Passes a socket as systemd does (sd_listen_fds(3)), then executes the other arguments.
ACTIVATION_SCRIPT = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""

TIMEOUT_S = 60.0


def make_server_options(folder: Path) -> tuple[object, ...]:
    """Return options for a server whose files are all in one directory."""
    return (
        "--conductor-socket",
        folder / "c.sock",
        "--registry-path",
        folder / "state.db",
        "--data-dir",
        folder,
    )


@asynccontextmanager
async def run_activated_server(
    sock: socket.socket, folder: Path, *options: object, **environment: str
) -> AsyncIterator[ManagedProcess]:
    """Run a server with a passed socket."""
    command = (sys.executable, "-m", "marianne_stream", *make_server_options(folder), *options)
    async with run_with_socket(sock, *command, **environment) as running:
        yield running


@asynccontextmanager
async def run_with_socket(
    sock: socket.socket, *command: object, **environment: str
) -> AsyncIterator[ManagedProcess]:
    """Run a unit's command with a passed socket."""
    sock.set_inheritable(inheritable=True)
    script = ("-c", ACTIVATION_SCRIPT, sock.fileno(), *command)
    async with run_process(*script, pass_fds=(sock.fileno(),), **environment) as running:
        yield running


class RestartViewer:
    """Viewer of a log during a restart, cheap enough for thousands.

    Args:
        url: URL of the log stream.

    Attributes:
        line_numbers: numbers of the received lines, in order.
        disconnected_at: monotonic time at which its stream ended, in seconds.
        retry_s: the delay that the server asked for.
        reconnected_at: monotonic time of the reconnect; 0 before.
    """

    def __init__(self, url: str) -> None:
        self.line_numbers: list[int] = []
        self.disconnected_at = self.reconnected_at = 0.0
        self.retry_s: float | None = None
        self._url = url
        self._last_id = ""

    async def watch(self, session: aiohttp.ClientSession) -> None:
        """Read to the end of the stream, reconnect after the delay, and read until cancelled."""
        await self._read(session)
        self.disconnected_at = time.monotonic()
        await asyncio.sleep(self.retry_s or 0.0)
        self.reconnected_at = time.monotonic()
        await self._read(session)

    async def _read(self, session: aiohttp.ClientSession) -> None:
        parser = EventParser(last_event_id=self._last_id)
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        async with session.get(self._url, headers=headers) as response:
            assert response.status == 200, await response.text()
            async for chunk in response.content.iter_any():
                for event in parser.feed(chunk):
                    self.take(event)
        self._last_id = parser.last_event_id
        self.retry_s = None if parser.retry_ms is None else parser.retry_ms / 1000

    def take(self, event: ServerSentEvent) -> None:
        """Take an event."""
        if event.event == "log":
            self.line_numbers.append(int(json.loads(event.data)["line"].split()[1]))

    @property
    def errors(self) -> list[str]:
        """Return lost, repeated or misordered lines, and a missing `retry`."""
        found = [
            f"line {after} came behind {before}"
            for before, after in itertools.pairwise(self.line_numbers)
            if after != before + 1
        ]
        if self.retry_s is None:
            found.append("was not told when to come back")
        return found

    def requested_delay_s(self, stopped_at: float) -> float:
        """Return the requested time of the reconnect, in seconds after the server's stop."""
        return self.disconnected_at + (self.retry_s or 0.0) - stopped_at


@dataclass(frozen=True, slots=True)
class RestartResult:
    """Result of a restart.

    Attributes:
        viewers: all viewers.
        exit_code: exit code of the first server.
        stopped_at: monotonic time at which it was stopped, in seconds.
        exit_s: duration of its shutdown.
        takeover_s: time from then until the next server is subscribed to the conductor.
        min_drain_s: the shortest allowed drain.
        last_line_number: number of the last line.
        log: log of the first server.
    """

    viewers: list[RestartViewer]
    exit_code: int
    stopped_at: float
    exit_s: float
    takeover_s: float
    min_drain_s: float
    last_line_number: int
    log: str

    @property
    def errors(self) -> list[str]:
        """Return the errors of all viewers and of the server."""
        found = [fault for watcher in self.viewers for fault in watcher.errors]
        asked_for_s = [watcher.requested_delay_s(self.stopped_at) for watcher in self.viewers]
        # A return before that would meet the draining server, or all other viewers at once.
        found += [
            f"was asked to come back after {asked_s:.2f} s, in a drain of {self.min_drain_s:.2f}"
            for asked_s in asked_for_s
            if asked_s < self.min_drain_s
        ]
        return found + [
            f"the last line is {watcher.line_numbers[-1]} and not {self.last_line_number}"
            for watcher in self.viewers
            if watcher.line_numbers[-1] != self.last_line_number
        ]


async def restart_server(
    folder: Path,
    conductor: SimulatedConductor,
    *,
    viewer_count: int,
    drain_s: float,
    line_interval_s: float,
) -> RestartResult:
    """Restart a server whose streams follow a growing log; the next one has the same socket."""
    (workspace := folder / "ws").mkdir()
    log = workspace / "marianne.log"
    log.write_text("line 0\n")
    conductor.launch("a", 1, workspace=str(workspace))
    options = (
        "--no-auth",
        "--drain-timeout-s",
        drain_s,
        "--max-streams-per-address",
        2 * viewer_count,
    )
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/api/jobs/a/logs?tail_lines=1"
        found = [RestartViewer(url) for _ in range(viewer_count)]
        async with run_viewers(found), run_line_writer(log, line_interval_s) as writing:
            async with run_activated_server(sock, folder, *options) as old:
                await wait_until(
                    lambda: all(watcher.line_numbers for watcher in found), timeout_s=TIMEOUT_S
                )
                told_at = time.monotonic()
                old.send_signal(signal.SIGTERM)
                code = await old.wait(timeout_s=TIMEOUT_S)
                exit_s = time.monotonic() - told_at
            async with run_activated_server(sock, folder, *options) as new:
                await wait_until(lambda: "monitor subscribed" in new.log, timeout_s=TIMEOUT_S)
                takeover_s = time.monotonic() - told_at
                await wait_until(
                    lambda: all(watcher.reconnected_at for watcher in found), timeout_s=TIMEOUT_S
                )
                writing.cancel()
                await asyncio.wait([writing])
                last = int(log.read_text().split()[-1])
                await wait_until(
                    lambda: all(w.line_numbers[-1] == last for w in found), timeout_s=TIMEOUT_S
                )
    drained_s = min(drain_s, viewer_count / DRAIN_STREAMS_PER_S)
    return RestartResult(found, code, told_at, exit_s, takeover_s, drained_s, last, old.log)


@asynccontextmanager
async def run_viewers(viewers: list[RestartViewer]) -> AsyncIterator[None]:
    """Run viewers in the background.

    A viewer that fails gets no more lines, which its errors show.
    """
    timeout = aiohttp.ClientTimeout(total=None)
    # Each reconnects over a connection of its own, as separate browsers do.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        watching = [asyncio.create_task(watcher.watch(session)) for watcher in viewers]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)


@asynccontextmanager
async def run_line_writer(log: Path, line_interval_s: float) -> AsyncIterator["asyncio.Task[None]"]:
    """Write numbered lines to a log in the background."""

    async def write() -> None:
        for number in itertools.count(1):
            await asyncio.sleep(line_interval_s)
            with log.open("a") as file:
                file.write(f"line {number}\n")

    writing = asyncio.create_task(write())
    try:
        yield writing
    finally:
        writing.cancel()
        await asyncio.wait([writing])
