"""Five hundred viewers of one busy job cost the conductor what one does, and see what one sees."""

import asyncio
import json
import re
from functools import partial
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.demo.state_history import StateHistory
from marianne_stream.wire.sse import EventParser
from tests.support.processes import run_server
from tests.support.waiting import wait_until

VIEWERS = 500
CHANGES = 200
APART_S = 0.05

# As a `get_job_status` has it, which the newest of what came is sure to hold.
COMPLETED = re.compile(rb'"completed_sheets":([0-9]+)')
NEWEST_BYTES = 4096


class RawViewer(asyncio.Protocol):
    """Keeps what it is sent, and reads it later: so many cost next to nothing meanwhile."""

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
        """The progress that its `get_job_status` events showed."""
        body = bytes(self.data).partition(b"\r\n\r\n")[2]
        events = EventParser().feed(body)
        return [
            json.loads(event.data)["completed_sheets"]
            for event in events
            if event.event == "job_status"
        ]


def has_come_to(viewer: RawViewer, number: int) -> bool:
    """Whether a viewer has seen as many sheets completed."""
    shown = COMPLETED.findall(viewer.data, max(0, len(viewer.data) - NEWEST_BYTES))
    return bool(shown) and int(shown[-1]) >= number


async def crowd(address: str) -> list[RawViewer]:
    """Viewers that have all begun to watch."""
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


async def test_five_hundred_viewers_see_twenty_changes_a_second(tmp_path: Path) -> None:
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
                # No faster than a busy machine is: one of the viewers has seen it by then.
                await wait_until(partial(has_come_to, viewers[0], number), timeout_s=30)
            conductor.finish("busy")
            await wait_until(lambda: all(viewer.ended for viewer in viewers), timeout_s=30)
        asked = conductor.statistics.requests - before
        await wait_until(lambda: conductor.free_slots >= 3)
        # The end is a change, too; and each change is looked at once more.
        assert asked["job.status"] <= 2 * (CHANGES + 1)
        seconds = truth["busy"][-1]["t"] - truth["busy"][0]["t"]
        # Ten times a second while a job is active, and once more a change.
        assert asked["job.list"] <= 10 * seconds + CHANGES + 4
    finally:
        await conductor.kill()
    for viewer in viewers:
        seen = viewer.completed_sheets()
        *steps, last = pairwise(seen)
        # All sheets are done before the job is: the last two states have the same progress.
        assert all(one < other for one, other in steps)
        assert last[0] <= last[1] == CHANGES
        assert len(set(seen)) >= 0.95 * (CHANGES + 1)
        assert viewer.data.count(b"event: job_finished\n") == 1
