"""Benefit of a second worker of an edge if both have a free core.

A reader of as many events as workers can send would need a core itself. Viewers therefore read
nothing while the workers send: the kernel buffers the data, and it is read and checked at the end.
Measurements during which other processes used the cores are repeated.
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

from benchmarks.contestants import PADDING, Contestant, print_figures
from benchmarks.processes import (
    TICKS_PER_S,
    MeasuredProcess,
    process_cpu_s,
    run_python,
    run_reader,
    wait_all_read,
)
from benchmarks.relay_cases import run_edge_with_origin

VIEWER_COUNT = 1000

# Latencies are measured with these viewers: they read, and are few enough to cost little.
READING_VIEWER_COUNT = 20

# Burst size and number of bursts; paced events and their rate. An event has 330 bytes, so
# the kernel buffers at most 264 MB for all viewers.
BURST_EVENTS, BURST_COUNT = 800, 5
EVENT_COUNT, EVENTS_PER_S = 500, (100, 400)

# Rate of a burst: a conductor that sends faster drops events.
BURST_EVENTS_PER_S = 1000

ROUND_COUNT = 3

# Receive buffer of a viewer, and the interval of reading its fill level.
RECEIVE_BUFFER_BYTES = 2 * 1024 * 1024
POLL_INTERVAL_S = 0.01

# Data that has not changed for this long has arrived.
IDLE_TIMEOUT_S = 0.2

# Time limit for the relay to publish the last event.
PUBLISH_DELAY_S = 0.5

# Cores that others may use meanwhile, and the number of repetitions if they use more.
MAX_OTHER_CORES = 0.2
MAX_BURST_TRIES, MAX_TRIES = 12, 3


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """Work of the workers from the first event until everything had arrived.

    Attributes:
        deliveries: number of deliveries.
        duration_s: duration in seconds.
        cpu_s: CPU time of the workers.
        other_cores: cores used by other processes.
        latencies: latencies of the reading viewers.
    """

    deliveries: int
    duration_s: float
    cpu_s: float
    other_cores: float
    latencies: dict[str, float]


class CpuMeter:
    """CPU time of the workers and of all other processes since its creation."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self.started_at = time.monotonic()
        self._initial_cpu_s = self._workers_s()
        self._initial_other_s = other_cpu_s()

    def cpu_s(self) -> float:
        """Return the CPU time of the workers."""
        return self._workers_s() - self._initial_cpu_s

    def other_cores(self) -> float:
        """Return the cores used by other processes."""
        return (other_cpu_s() - self._initial_other_s) / (time.monotonic() - self.started_at)

    def _workers_s(self) -> float:
        return sum(map(process_cpu_s, self._pids))


class EdgeViewers:
    """The viewers of an edge.

    Args:
        running: the edge.
        paused: viewers that read nothing until told to.
        reading: viewers that read.

    Attributes:
        worker_pids: process ids of the workers.
        event_count: number of events.
        lost_deliveries: number of missing deliveries.
    """

    def __init__(
        self, running: Contestant, paused: MeasuredProcess, reading: MeasuredProcess
    ) -> None:
        self._publish = running.publish
        self._paused = paused
        self._reading = reading
        self.worker_pids = worker_pids(running.process.pid)
        self.event_count = 0
        self.lost_deliveries = 0.0

    async def publish(self, event_count: int, events_per_s: int) -> None:
        """Publish events at a rate."""
        began = time.monotonic()
        for number in range(1, event_count + 1):
            self.event_count += 1
            await self._publish(f"<{self.event_count}@{time.monotonic():.6f}>{PADDING}")
            await asyncio.sleep(max(0.0, began + number / events_per_s - time.monotonic()))

    async def pause_reading(self) -> None:
        """Let the paused viewers read nothing from now on."""
        await self._paused.request("pause")

    async def collect_result(self, meter: CpuMeter, event_count: int) -> DeliveryResult:
        """Wait until these events have arrived; read and check all, and return the result."""
        took_s = await self._wait_idle() - meter.started_at
        cpu_s, others_cores = meter.cpu_s(), meter.other_cores()
        await self._paused.request("read")
        report = await wait_all_read(self._paused)
        self.lost_deliveries += event_count * VIEWER_COUNT - report["events"] + report["faults"]
        delays = await wait_all_read(self._reading)
        return DeliveryResult(
            event_count * (VIEWER_COUNT + READING_VIEWER_COUNT), took_s, cpu_s, others_cores, delays
        )

    async def _wait_idle(self) -> float:
        """Return the time at which the last data arrived."""
        waiting, at = 0.0, time.monotonic()
        while time.monotonic() - at < IDLE_TIMEOUT_S:
            await asyncio.sleep(POLL_INTERVAL_S)
            asked_at = time.monotonic()
            if (now := (await self._paused.request("waiting"))["waiting"]) != waiting:
                waiting, at = now, asked_at
        return at

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to all workers."""
        for pid in self.worker_pids:
            os.kill(pid, number)


async def workers(folder: Path) -> dict[str, float]:
    """One worker and two in turns: deliveries of a burst and of paced events."""
    found: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for number in range(1, ROUND_COUNT + 1):
        for count, rounds in found.items():
            (place := folder / f"{number}-{count}").mkdir()
            async with run_edge_with_origin(place, count) as running:
                rounds.append(await run_round(running))
            print_figures(f"round {number}, {count}", rounds[-1])
    # The limit of two cores of this machine.
    async with run_python(Path(__file__).with_name("send_parallel.py")) as measured:
        figures = {"2 to 1 send alone": float(measured.address)}
    for figure in found[1][0]:
        one, two = ([each[figure] for each in found[count]] for count in (1, 2))
        figures |= {f"1 {figure}": statistics.median(one), f"2 {figure}": statistics.median(two)}
        if figure.endswith(("deliveries_s", "_ms")):
            ratios = [b / a for a, b in zip(one, two, strict=True)]
            figures[f"2 to 1 {figure}"] = statistics.median(ratios)
    return figures


async def run_round(running: Contestant) -> dict[str, float]:
    """Send bursts and paced events to viewers that read when all has arrived."""
    async with (
        run_reader(
            running.address, running.path, VIEWER_COUNT, receive_buffer_bytes=RECEIVE_BUFFER_BYTES
        ) as still,
        run_reader(running.address, running.path, READING_VIEWER_COUNT) as reading,
    ):
        await asyncio.sleep(1.0)
        crowd = EdgeViewers(running, still, reading)
        figures = to_figures(
            "burst",
            await repeat_undisturbed(partial(run_burst, crowd), BURST_COUNT, MAX_BURST_TRIES),
        )
        for rate in EVENTS_PER_S:
            (found,) = await repeat_undisturbed(partial(run_paced, crowd, rate), 1, MAX_TRIES)
            figures |= to_figures(f"{rate} a second", [found])
            figures[f"{rate} a second: p50_ms"] = found.latencies["p50_ms"]
            figures[f"{rate} a second: p99_ms"] = found.latencies["p99_ms"]
        return figures | {"lost": crowd.lost_deliveries}


async def repeat_undisturbed(
    run_once: Callable[[], Awaitable[DeliveryResult]], result_count: int, max_tries: int
) -> list[DeliveryResult]:
    """Repeat a measurement until enough of them had little load from others.

    If the tries run out, return the least disturbed ones.
    """
    found: list[DeliveryResult] = []
    for _ in range(max_tries):
        found.append(await run_once())
        if sum(each.other_cores <= MAX_OTHER_CORES for each in found) == result_count:
            break
    return sorted(found, key=lambda each: each.other_cores)[:result_count]


def to_figures(name: str, found: list[DeliveryResult]) -> dict[str, float]:
    """Return several results as figures."""
    deliveries = sum(each.deliveries for each in found)
    took_s, cpu_s = sum(each.duration_s for each in found), sum(each.cpu_s for each in found)
    return {
        f"{name}: deliveries_s": deliveries / took_s,
        f"{name}: deliveries a cpu_s": deliveries / cpu_s,
        f"{name}: cores": cpu_s / took_s,
        f"{name}: others' cores": max(each.other_cores for each in found),
    }


async def run_burst(viewers: EdgeViewers) -> DeliveryResult:
    """Measure workers with a backlog in Redis: they are stopped until all is there."""
    await viewers.pause_reading()
    viewers.send_signal(signal.SIGSTOP)
    try:
        await viewers.publish(BURST_EVENTS, BURST_EVENTS_PER_S)
        await asyncio.sleep(PUBLISH_DELAY_S)
        meter = CpuMeter(viewers.worker_pids)
    finally:
        viewers.send_signal(signal.SIGCONT)
    return await viewers.collect_result(meter, BURST_EVENTS)


async def run_paced(viewers: EdgeViewers, events_per_s: int) -> DeliveryResult:
    """Measure workers under a rate of events."""
    await viewers.pause_reading()
    meter = CpuMeter(viewers.worker_pids)
    await viewers.publish(EVENT_COUNT, events_per_s)
    return await viewers.collect_result(meter, EVENT_COUNT)


def worker_pids(pid: int) -> list[int]:
    """Return a process's children, which are its workers, or itself if it has none."""
    return child_pids(pid) or [pid]


def other_cpu_s() -> float:
    """Return the CPU time of all processes except this one and its descendants."""
    lines = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)
    user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(int, lines[0].split()[1:])
    all_s = (user + nice + system + irq + softirq + steal) / TICKS_PER_S
    return all_s - sum(map(process_cpu_s, process_tree(os.getpid())))


def process_tree(pid: int) -> list[int]:
    """Return a process and its descendants."""
    return [pid, *chain.from_iterable(process_tree(child) for child in child_pids(pid))]


def child_pids(pid: int) -> list[int]:
    """Return the children of a process, of any of its threads."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in lists for child in each.read_text(encoding="ascii").split()]
