"""Five hundred viewers of one busy job cost the conductor as much as one, and see the same."""

import asyncio
import json
import re
from functools import partial
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.wire.sse import EventParser
from tests.support.processes import run_server
from tests.support.state_history import StateHistory
from tests.support.waiting import wait_until

VIEWERS = 500
CHANGES = 100
APART_S = 0.05

pytestmark = pytest.mark.slow

# As in a `job_status` event; the newest bytes always contain one.
COMPLETED = re.compile(rb'"completed_sheets":([0-9]+)')
NEWEST_BYTES = 4096


class RawViewer(asyncio.Protocol):
    """Collects raw bytes and parses them later, so that many viewers cost little."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.data = bytearray()
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        # HTTP/1.0: no chunks, and the connection ends with the stream.
        transport.write(f"GET {self._path} HTTP/1.0\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = exc is None

    def completed_sheets(self) -> list[int]:
        """Return the progress of the `job_status` events."""
        body = bytes(self.data).partition(b"\r\n\r\n")[2]
        events = EventParser().feed(body)
        return [
            json.loads(event.data)["completed_sheets"]
            for event in events
            if event.event == "job_status"
        ]


def has_reached(viewer: RawViewer, number: int) -> bool:
    """Return whether a viewer has seen this many completed sheets."""
    shown = COMPLETED.findall(viewer.data, max(0, len(viewer.data) - NEWEST_BYTES))
    return bool(shown) and int(shown[-1]) >= number


async def crowd(address: str) -> list[RawViewer]:
    """Open viewers and wait until all streams have begun."""
    host, port = urlsplit(address).netloc.split(":")
    loop = asyncio.get_running_loop()
    viewers = []
    for _ in range(VIEWERS):
        _, viewer = await loop.create_connection(
            lambda: RawViewer("/api/jobs/busy/stream"), host, int(port)
        )
        viewers.append(viewer)
    await wait_until(lambda: all(b"job_sheets" in viewer.data for viewer in viewers), timeout_s=30)
    return viewers


async def test_five_hundred_viewers_see_every_change(tmp_path: Path) -> None:
    conductor = SimulatedConductor(
        tmp_path / "c.sock", registry=tmp_path / "state.db", has_sheet_events=True
    )
    await conductor.start()
    conductor.launch("busy", CHANGES)
    truth = StateHistory(conductor).job_states
    try:
        async with run_server(tmp_path) as running:
            await wait_until(lambda: conductor.statistics.monitor_streams_open)
            viewers = await crowd(running.address)
            before = conductor.statistics.requests.copy()
            for number in range(1, CHANGES + 1):
                conductor.complete_sheet("busy", number)
                await asyncio.sleep(APART_S)
                # At the pace of a busy machine: one viewer has seen each change before the next.
                await wait_until(partial(has_reached, viewers[0], number), timeout_s=30)
            conductor.finish("busy")
            await wait_until(lambda: all(viewer.ended for viewer in viewers), timeout_s=30)
        asked = conductor.statistics.requests - before
        await wait_until(lambda: conductor.free_slots >= 3)
        # The end is a change, too, and each change is read once more.
        assert asked["job.status"] <= 2 * (CHANGES + 1)
        seconds = truth["busy"][-1]["t"] - truth["busy"][0]["t"]
        # Ten reads a second while a job is active, and one more a change.
        assert asked["job.list"] <= 10 * seconds + CHANGES + 4
    finally:
        await conductor.kill()
    for viewer in viewers:
        seen = viewer.completed_sheets()
        *steps, last = pairwise(seen)
        # All sheets complete before the job does: the last two states have the same progress.
        assert all(one < other for one, other in steps)
        assert last[0] <= last[1] == CHANGES
        assert len(set(seen)) >= 0.95 * (CHANGES + 1)
        assert viewer.data.count(b"event: job_finished\n") == 1
