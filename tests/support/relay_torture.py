"""A log that is read through a relay and two edges, all of which are killed, and Redis, too."""

import asyncio
import itertools
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from marianne_stream.demo.conductor import SimulatedConductor
from tests.support.log_torture import VIEWERS, LogViewer, write
from tests.support.ports import free_port
from tests.support.processes import Process, process, server
from tests.support.redis import RedisServer, redis_server
from tests.support.waiting import until

END_LIMIT_S = 180.0

JOB = "tortured"

Start = Callable[[], AbstractAsyncContextManager[Process]]


@dataclass(frozen=True, slots=True)
class RelayOutcome:
    """What has happened.

    Attributes:
        viewers: those who read.
        kills: how often each part was killed.
        logged: what the servers logged.
    """

    viewers: list[LogViewer]
    kills: Counter[str]
    logged: list[str]


async def torture(folder: Path, *, lines: int, seed: int) -> RelayOutcome:
    """Writes a log while it is read through Redis, and everything is killed in turn."""
    conductor = SimulatedConductor(
        folder / "c.sock", registry=folder / "state.db", shutdown_grace_s=0
    )
    await conductor.start()
    (workspace := folder / "ws").mkdir()
    (log := workspace / "marianne.log").touch()
    conductor.launch(JOB, 2, workspace=str(workspace))
    ports = [free_port(), free_port()]
    urls = [f"http://127.0.0.1:{port}/api/jobs/{JOB}/logs" for port in ports]
    viewers = [LogViewer(urls, seed * VIEWERS + place) for place in range(VIEWERS)]
    run = Run(folder, random.Random(seed))
    try:
        async with (
            asyncio.timeout(END_LIMIT_S),
            redis_server(folder, durable=True) as redis,
            asyncio.TaskGroup() as group,
        ):
            serving = run.begin(group, redis, ports)
            reading = [group.create_task(viewer.read()) for viewer in viewers]
            await until(lambda: all(viewer.last_id for viewer in viewers), limit_s=30)
            killing = group.create_task(run.kill_in_turn(redis))
            await write(log, lines, seed)
            conductor.finish(JOB, "completed")
            run.written.set()
            await killing
            await asyncio.wait(reading)
            run.end()
            await asyncio.wait(serving)
    finally:
        await conductor.kill()
    return RelayOutcome(viewers, run.kills, run.logged)


class Run:
    """What runs, and is killed.

    Attributes:
        written: set when the log is.
        kills: how often each part was.
        logged: what the servers logged.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.written = asyncio.Event()
        self.kills: Counter[str] = Counter()
        self.logged: list[str] = []
        self._folder = folder
        self._chance = chance
        self._turns: dict[str, asyncio.Event] = {}
        self._done = False

    def begin(
        self, group: asyncio.TaskGroup, redis: RedisServer, ports: list[int]
    ) -> list[asyncio.Task[None]]:
        """Begins to run a relay and edges."""
        relay = ("--publish-url", redis.url, "--source-name", "oak")
        edge = (
            "-m",
            "marianne_stream",
            "--no-auth",
            "--state-backend",
            "redis",
            "--redis-url",
            redis.url,
        )
        starts: dict[str, Start] = {"relay": partial(server, self._folder, *relay)}
        for port in ports:
            starts[f"edge {port}"] = partial(process, *edge, "--port", port)
        return [group.create_task(self._keep(name, start)) for name, start in starts.items()]

    async def _keep(self, name: str, start: Start) -> None:
        """Runs a server, and starts it again when it was killed."""
        turn = self._turns[name] = asyncio.Event()
        while not self._done:
            async with start() as running:
                await turn.wait()
                turn.clear()
                if not self._done:
                    running.send(signal.SIGKILL)
                    await running.ended()
            self.logged.append(running.log)

    async def kill_in_turn(self, redis: RedisServer) -> None:
        """Kills one after the other, until all were killed and the log is written."""
        for name in itertools.cycle((*self._turns, "redis")):
            await asyncio.sleep(self._chance.uniform(0.4, 1.0))
            if self.written.is_set() and len(self.kills) == len(self._turns) + 1:
                return
            self.kills[name] += 1
            if name == "redis":
                await redis.kill()
                await asyncio.sleep(self._chance.uniform(0, 0.3))
                await redis.start()
            else:
                self._turns[name].set()

    def end(self) -> None:
        """Lets all servers end."""
        self._done = True
        for turn in self._turns.values():
            turn.set()
