"""Log streams through Redis while the relay, two edges and Redis are killed in turn."""

import asyncio
import itertools
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.log_torture import VIEWER_COUNT, LogViewer, run_log_writer
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess, run_process, run_server
from tests.support.redis_server import RedisServer, run_redis
from tests.support.waiting import wait_until

TORTURE_TIMEOUT_S = 180.0

JOB = "tortured"

StartProcess = Callable[[], AbstractAsyncContextManager[ManagedProcess]]


@dataclass(frozen=True, slots=True)
class RelayTortureResult:
    """Result of a run.

    Attributes:
        viewers: the viewers of the log.
        kills: how often each process was killed.
        server_logs: log of each server process.
    """

    viewers: list[LogViewer]
    kills: Counter[str]
    server_logs: list[str]


async def run_relay_torture(folder: Path, *, line_count: int, seed: int) -> RelayTortureResult:
    """Write a log while it is streamed through Redis and every process is killed in turn.

    The folder then has the data of Redis, and what the servers logged and the viewers received.
    """
    conductor = SimulatedConductor(
        folder / "c.sock", registry=folder / "state.db", shutdown_grace_s=0
    )
    await conductor.start()
    (workspace := folder / "ws").mkdir()
    (log := workspace / "marianne.log").touch()
    conductor.launch(JOB, 2, workspace=str(workspace))
    ports = [free_port(), free_port()]
    urls = [f"http://127.0.0.1:{port}/api/jobs/{JOB}/logs" for port in ports]
    viewers = [LogViewer(urls, seed * VIEWER_COUNT + place) for place in range(VIEWER_COUNT)]
    run = TortureRun(folder, random.Random(seed))
    try:
        async with (
            asyncio.timeout(TORTURE_TIMEOUT_S),
            run_redis(folder, is_durable=True) as redis,
            asyncio.TaskGroup() as group,
        ):
            serving = run.start(group, redis, ports)
            reading = [group.create_task(viewer.read()) for viewer in viewers]
            await wait_until(lambda: all(viewer.last_id for viewer in viewers), timeout_s=30)
            killing = group.create_task(run.kill_in_turn(redis))
            await run_log_writer(log, line_count, seed)
            conductor.finish(JOB, "completed")
            run.log_written.set()
            await killing
            await asyncio.wait(reading)
            run.stop()
            await asyncio.wait(serving)
    finally:
        await conductor.kill()
        save_records(folder, run, viewers)
    return RelayTortureResult(viewers, run.kills, run.server_logs)


def save_records(folder: Path, run: "TortureRun", viewers: Sequence[LogViewer]) -> None:
    """Write the logs of all servers and the events of all viewers beside the data of Redis."""
    for number, (name, process) in enumerate(run.processes):
        (folder / f"server {number} {name}.log").write_text(process.log)
    for number, viewer in enumerate(viewers):
        lines = (f"{event.event_id} {event.event} {event.data}\n" for event in viewer.events)
        (folder / f"viewer {number}.events").write_text("".join(lines))
        errors = "".join(f"{error}\n" for error in viewer.sequence_errors)
        (folder / f"viewer {number}.errors").write_text(errors)


class TortureRun:
    """The processes of a run.

    Attributes:
        log_written: set when the log is written.
        kills: how often each process was killed.
        processes: each server process that was started, with its name.
    """

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.log_written = asyncio.Event()
        self.kills: Counter[str] = Counter()
        self.processes: list[tuple[str, ManagedProcess]] = []
        self._folder = folder
        self._rng = rng
        self._kill_requests: dict[str, asyncio.Event] = {}
        self._is_stopping = False

    @property
    def server_logs(self) -> list[str]:
        """Return the log of each server process."""
        return [process.log for _, process in self.processes]

    def start(
        self, group: asyncio.TaskGroup, redis: RedisServer, ports: list[int]
    ) -> list[asyncio.Task[None]]:
        """Start the relay and the edges."""
        relay = ("--publish-url", redis.url, "--source-name", "oak")
        edge = (
            "-m",
            "marianne_stream",
            "--no-auth",
            "--state-backend",
            "redis",
            "--redis-url",
            redis.url,
            "--sources",
            "oak",
        )
        starts: dict[str, StartProcess] = {"relay": partial(run_server, self._folder, *relay)}
        for port in ports:
            starts[f"edge {port}"] = partial(run_process, *edge, "--port", port)
        return [
            group.create_task(self._keep_running(name, start)) for name, start in starts.items()
        ]

    async def _keep_running(self, name: str, start: StartProcess) -> None:
        """Run a server and restart it whenever it was killed."""
        turn = self._kill_requests[name] = asyncio.Event()
        while not self._is_stopping:
            async with start() as running:
                self.processes.append((name, running))
                await turn.wait()
                turn.clear()
                if not self._is_stopping:
                    running.send_signal(signal.SIGKILL)
                    await running.wait()

    async def kill_in_turn(self, redis: RedisServer) -> None:
        """Kill one process after the other until each was killed and the log is written."""
        for name in itertools.cycle((*self._kill_requests, "redis")):
            await asyncio.sleep(self._rng.uniform(0.4, 1.0))
            if self.log_written.is_set() and len(self.kills) == len(self._kill_requests) + 1:
                return
            self.kills[name] += 1
            if name == "redis":
                await redis.kill()
                await asyncio.sleep(self._rng.uniform(0, 0.3))
                await redis.start()
            else:
                self._kill_requests[name].set()

    def stop(self) -> None:
        """Let all servers end."""
        self._is_stopping = True
        for turn in self._kill_requests.values():
            turn.set()
