"""Log streams under faults: lost connections, a killed server, and a rotating log."""

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.wire.sse import EventParser, ServerSentEvent
from tests.support import log_writer
from tests.support.ports import free_port
from tests.support.processes import run_server
from tests.support.waiting import wait_until

VIEWER_COUNT = 4
TORTURE_TIMEOUT_S = 120.0


class ViewerDisconnectedError(Exception):
    """A viewer ended its connection on purpose."""


class LogViewer:
    """Reads a log to its end over many connections.

    Args:
        urls: URLs of the log; each connection uses a random one.
        seed: seed of the random choices.

    Attributes:
        events: all events so far, in order.
        reconnects: number of connections after the first.
        last_id: `Last-Event-ID` of the next connection.
    """

    def __init__(self, urls: Sequence[str], seed: int) -> None:
        self.events: list[ServerSentEvent] = []
        self.reconnects = 0
        self._urls = urls
        self._rng = random.Random(seed)
        self.last_id = ""

    @property
    def sequence_errors(self) -> list[str]:
        """Return each place where a line is missing without a gap, repeated, or out of order."""
        found = []
        before, excused = 0, False
        for event in self.events:
            if event.event == "log_gap":
                excused = True
            if event.event != "log":
                continue
            line = json.loads(event.data)["line"]
            if line + "\n" == log_writer.FIRST_LINE:
                continue
            number = int(line.split()[0])
            if number != before + 1 and not (excused and number > before):
                found.append(f"{number} came behind {before}")
            before, excused = number, False
        return found

    @property
    def last_line_number(self) -> int:
        """Return the number of the last line."""
        lines = (json.loads(e.data)["line"] for e in reversed(self.events) if e.event == "log")
        return int(next(lines).split()[0])

    async def read(self) -> None:
        """Read until the log is complete."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self.events or self.events[-1].event != "log_complete":
                with contextlib.suppress(ViewerDisconnectedError, aiohttp.ClientError, OSError):
                    await self._read_once(session)
                self.reconnects += 1
                await asyncio.sleep(0.01)

    async def _read_once(self, session: aiohttp.ClientSession) -> None:
        parser = EventParser(last_event_id=self.last_id)
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        enough = len(self.events) + self._rng.randint(50, 6000)
        params = {"tail_lines": "1000", "wait": "true"}
        url = self._rng.choice(self._urls)
        async with session.get(url, headers=headers, params=params) as response:
            if response.status == 503:
                raise ViewerDisconnectedError
            assert response.status == 200, await response.text()
            async for chunk in response.content.iter_any():
                for event in parser.feed(chunk):
                    self.events.append(event)
                    self.last_id = event.event_id
                    if len(self.events) >= enough:
                        raise ViewerDisconnectedError
                # An id may be sent without an event.
                self.last_id = parser.last_event_id


@dataclass(frozen=True, slots=True)
class LogTortureResult:
    """Result of a run.

    Attributes:
        viewers: the viewers of the log.
        kills: how often the server was killed.
        rotations: number of rotations by kind.
        server_logs: log of each server process.
    """

    viewers: list[LogViewer]
    kills: int
    rotations: dict[str, int]
    server_logs: list[str] = field(default_factory=list)


async def run_log_torture(
    folder: Path,
    *,
    line_count: int,
    seed: int,
    timeout_s: float = TORTURE_TIMEOUT_S,
    address: str = "logs",
) -> LogTortureResult:
    """Write and rotate a log while it is streamed and the server is killed.

    `address` is that of the stream below the job's.
    """
    conductor = SimulatedConductor(
        folder / "c.sock", registry=folder / "state.db", shutdown_grace_s=0
    )
    await conductor.start()
    (workspace := folder / "ws").mkdir()
    (log := workspace / "marianne.log").touch()
    conductor.launch("tortured", 2, workspace=str(workspace))
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/jobs/tortured/{address}"
    viewers = [LogViewer([url], seed * VIEWER_COUNT + place) for place in range(VIEWER_COUNT)]
    written, done = asyncio.Event(), asyncio.Event()
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            serving = group.create_task(
                run_and_kill_servers(folder, port, written, done, random.Random(seed))
            )
            reading = [group.create_task(viewer.read()) for viewer in viewers]
            # With a position before the first line, a viewer misses no line.
            await wait_until(lambda: all(viewer.last_id for viewer in viewers))
            rotations = await run_log_writer(log, line_count, seed)
            written.set()
            conductor.finish("tortured", "completed")
            await asyncio.wait(reading)
            done.set()
            logs = await serving
    finally:
        await conductor.kill()
    return LogTortureResult(viewers, len(logs) - 1, rotations, logs)


async def run_and_kill_servers(
    folder: Path,
    port: int,
    log_written: asyncio.Event,
    done: asyncio.Event,
    rng: random.Random,
) -> list[str]:
    """Run servers, killing each after a random time until the log is written."""
    logs = []
    while not done.is_set():
        # This port overrides the one of run_server.
        async with run_server(folder, "--port", port) as running:
            limit_s = None if log_written.is_set() else rng.uniform(0.6, 1.5)
            try:
                await asyncio.wait_for(done.wait(), limit_s)
            except TimeoutError:
                running.send_signal(signal.SIGKILL)
                await running.wait()
            logs.append(running.log)
    return logs


async def run_log_writer(path: Path, line_count: int, seed: int) -> dict[str, int]:
    """Run the writer to its end and return its rotations."""
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, log_writer.__file__, str(path), str(line_count), str(seed)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await writer.communicate()
    assert writer.returncode == 0
    rotations: dict[str, int] = json.loads(output)
    return rotations
