"""What a second worker of an edge gives, where the cores are free for both.

A reader of as many events as workers can send takes a core itself. So here viewers do not read: the
kernel keeps what arrives, and it is read and checked when all of it is there. What was measured
while something else took a part of the cores is measured again.
"""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from benchmarks.fanout import PADDING, Contestant, table
from benchmarks.processes import TICKS_S, Measured, all_read, processor_s, python, reader
from benchmarks.relay_cases import edge

VIEWERS = 1000

# Of these the delay is taken: they read, and are so few that it costs next to nothing.
READING = 20

# So many at once, so often; and so many in time, at so many a second. An event has 330 bytes, so
# that no more than 264 MB are kept at a time for all viewers.
BURST_EVENTS, BURSTS = 800, 5
EVENTS, RATES = 500, (100, 400)

# How fast a burst is published: of a conductor that says more at once, some is dropped.
PUBLISHED_RATE = 1000

ROUNDS = 3

# How much the kernel keeps for a viewer, and how often is asked how much that is.
ROOM_BYTES = 2 * 1024 * 1024
LOOK_S = 0.01

# What has not changed for so long has arrived.
QUIET_S = 0.2

# How long the relay may take to publish the last of it.
PUBLISHED_S = 0.5

# How much of a core others may take meanwhile; where they take more it is done again, so often.
OTHERS_CORES = 0.2
BURST_TRIES, TRIES = 12, 3


@dataclass(frozen=True, slots=True)
class Sent:
    """What workers did, from a moment until everything had arrived.

    Attributes:
        deliveries: how many there were.
        took_s: how long it took.
        cpu_s: the workers' processor time.
        others_cores: how many cores were taken by what is no part of this.
        delays: what those say who read.
    """

    deliveries: int
    took_s: float
    cpu_s: float
    others_cores: float
    delays: dict[str, float]


class Meter:
    """Reads clocks from a moment on: the workers', and those of everything else."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self.began = time.monotonic()
        self._cpu_s = self._workers_s()
        self._others_s = others_s()

    def cpu_s(self) -> float:
        """The processor time that the workers have used since."""
        return self._workers_s() - self._cpu_s

    def others_cores(self) -> float:
        """How many cores were taken since by what is no part of this."""
        return (others_s() - self._others_s) / (time.monotonic() - self.began)

    def _workers_s(self) -> float:
        return sum(map(processor_s, self._pids))


class Crowd:
    """The viewers of an edge.

    Args:
        running: the edge.
        still: those who do not read until they are told.
        reading: those who do.

    Attributes:
        pids: the workers.
        published: how many events there were.
        lost: how many deliveries are missing.
    """

    def __init__(self, running: Contestant, still: Measured, reading: Measured) -> None:
        self._publish = running.publish
        self._still = still
        self._reading = reading
        self.pids = workers_of(running.measured.pid)
        self.published = 0
        self.lost = 0.0

    async def publish(self, events: int, rate: int) -> None:
        """Publishes events, so many a second."""
        began = time.monotonic()
        for number in range(1, events + 1):
            self.published += 1
            await self._publish(f"<{self.published}@{time.monotonic():.6f}>{PADDING}")
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))

    async def hold(self) -> None:
        """Has most of them read nothing from now on."""
        await self._still.ask("hold")

    async def sent(self, meter: Meter, events: int) -> Sent:
        """What the workers have done when these events have arrived; all is read, and checked."""
        took_s = await self._arrived() - meter.began
        cpu_s, others_cores = meter.cpu_s(), meter.others_cores()
        await self._still.ask("read")
        report = await all_read(self._still)
        self.lost += events * VIEWERS - report["events"] + report["faults"]
        delays = await all_read(self._reading)
        return Sent(events * (VIEWERS + READING), took_s, cpu_s, others_cores, delays)

    async def _arrived(self) -> float:
        """When nothing more arrived."""
        waiting, at = 0.0, time.monotonic()
        while time.monotonic() - at < QUIET_S:
            await asyncio.sleep(LOOK_S)
            asked_at = time.monotonic()
            if (now := (await self._still.ask("waiting"))["waiting"]) != waiting:
                waiting, at = now, asked_at
        return at

    def signal(self, number: signal.Signals) -> None:
        """Tells all workers."""
        for pid in self.pids:
            os.kill(pid, number)


async def workers(folder: Path) -> dict[str, float]:
    """One worker and two, in turns: deliveries of a burst, and of what comes in time."""
    found: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for number in range(1, ROUNDS + 1):
        for count, rounds in found.items():
            (place := folder / f"{number}-{count}").mkdir()
            async with edge(place, count) as running:
                rounds.append(await one_round(running))
            table(f"round {number}, {count}", rounds[-1])
    # What two cores of this machine can do at all.
    async with python(Path(__file__).with_name("send_two.py")) as measured:
        figures = {"2 to 1 send alone": float(measured.address)}
    for figure in found[1][0]:
        one, two = ([each[figure] for each in found[count]] for count in (1, 2))
        figures |= {f"1 {figure}": statistics.median(one), f"2 {figure}": statistics.median(two)}
        if figure.endswith(("deliveries_s", "_ms")):
            ratios = [b / a for a, b in zip(one, two, strict=True)]
            figures[f"2 to 1 {figure}"] = statistics.median(ratios)
    return figures


async def one_round(running: Contestant) -> dict[str, float]:
    """Bursts and then events in time, to viewers who do not read until all has arrived."""
    async with (
        reader(running.address, running.path, VIEWERS, room_bytes=ROOM_BYTES) as still,
        reader(running.address, running.path, READING) as reading,
    ):
        await asyncio.sleep(1.0)
        crowd = Crowd(running, still, reading)
        figures = shown("burst", await quietly(partial(burst, crowd), BURSTS, BURST_TRIES))
        for rate in RATES:
            (found,) = await quietly(partial(in_time, crowd, rate), 1, TRIES)
            figures |= shown(f"{rate} a second", [found])
            figures[f"{rate} a second: p50_ms"] = found.delays["p50_ms"]
            figures[f"{rate} a second: p99_ms"] = found.delays["p99_ms"]
        return figures | {"lost": crowd.lost}


async def quietly(once: Callable[[], Awaitable[Sent]], times: int, tries: int) -> list[Sent]:
    """Does something until it was done so often while others took next to nothing.

    Where that does not come about in so many tries, those are given when they took the least.
    """
    found: list[Sent] = []
    for _ in range(tries):
        found.append(await once())
        if sum(each.others_cores <= OTHERS_CORES for each in found) == times:
            break
    return sorted(found, key=lambda each: each.others_cores)[:times]


def shown(name: str, found: list[Sent]) -> dict[str, float]:
    """Several as figures."""
    deliveries = sum(each.deliveries for each in found)
    took_s, cpu_s = sum(each.took_s for each in found), sum(each.cpu_s for each in found)
    return {
        f"{name}: deliveries_s": deliveries / took_s,
        f"{name}: deliveries a cpu_s": deliveries / cpu_s,
        f"{name}: cores": cpu_s / took_s,
        f"{name}: others' cores": max(each.others_cores for each in found),
    }


async def burst(crowd: Crowd) -> Sent:
    """What workers send who find very much in Redis: they are stopped until all is there."""
    await crowd.hold()
    crowd.signal(signal.SIGSTOP)
    try:
        await crowd.publish(BURST_EVENTS, PUBLISHED_RATE)
        await asyncio.sleep(PUBLISHED_S)
        meter = Meter(crowd.pids)
    finally:
        crowd.signal(signal.SIGCONT)
    return await crowd.sent(meter, BURST_EVENTS)


async def in_time(crowd: Crowd, rate: int) -> Sent:
    """What workers send while so many events come a second."""
    await crowd.hold()
    meter = Meter(crowd.pids)
    await crowd.publish(EVENTS, rate)
    return await crowd.sent(meter, EVENTS)


def workers_of(pid: int) -> list[int]:
    """The processes that a process has started, which are its workers; itself where it has none."""
    return children_of(pid) or [pid]


def others_s() -> float:
    """The processor time that all have used but this process and those it has started."""
    lines = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)
    user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(int, lines[0].split()[1:])
    all_s = (user + nice + system + irq + softirq + steal) / TICKS_S
    return all_s - sum(map(processor_s, family_of(os.getpid())))


def family_of(pid: int) -> list[int]:
    """A process, those that it has started, and those that these have."""
    return [pid, *chain.from_iterable(family_of(child) for child in children_of(pid))]


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, in whichever of its threads."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in lists for child in each.read_text(encoding="ascii").split()]
