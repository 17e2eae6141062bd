"""Third-party SSE clients read a job to its end and resume after a lost connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.external import require_node_module
from tests.support.faulty_proxy import FaultyProxy, run_faulty_proxy
from tests.support.processes import run_server
from tests.support.waiting import wait_until

CLIENT = Path(__file__).with_name("event_source.cjs")


@pytest.fixture
async def wire(conductor: SimulatedConductor, tmp_path: Path) -> AsyncIterator[FaultyProxy]:
    """Run a proxy to a server whose conductor has one job."""
    conductor.launch("a", 3)
    async with run_server(tmp_path) as running, run_faulty_proxy(running.address) as wire:
        yield wire


def complete_sheet(conductor: SimulatedConductor, number: int) -> None:
    """Complete one sheet, and the job with the last sheet."""
    conductor.complete_sheet("a", number)
    if number == 3:
        conductor.finish("a")


async def test_npm_eventsource_reads_to_the_end_and_resumes(
    conductor: SimulatedConductor, wire: FaultyProxy
) -> None:
    node, environment = require_node_module("eventsource")
    client = await asyncio.create_subprocess_exec(
        node,
        str(CLIENT),
        f"{wire.url}/api/jobs/a/stream?poll_interval=0.1",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    assert client.stdout is not None
    said: list[dict[str, Any]] = []

    async def read_until(event: str, **fields: object) -> None:
        """Read the output until the client has printed this line."""
        assert client.stdout is not None
        async with asyncio.timeout(15):
            while True:
                said.append(json.loads(await client.stdout.readline()))
                found = {**said[-1], **said[-1].get("data", {})}
                if found["event"] == event and fields.items() <= found.items():
                    return

    await read_until("job_sheets")
    complete_sheet(conductor, 1)
    await read_until("job_status", completed_sheets=1)
    wire.disconnect_all()
    await read_until("error", closed=False)
    complete_sheet(conductor, 2)
    await read_until("job_status", completed_sheets=2)
    complete_sheet(conductor, 3)
    await read_until("job_finished", final_status="completed")
    # The client reconnects by itself and gets 204: nothing new will come.
    await read_until("error", code=204, closed=True)
    assert await client.wait() == 0
    completed = [each["data"]["completed_sheets"] for each in said if each["event"] == "job_status"]
    assert completed == [0, 1, 2, 3]
    assert wire.connection_count >= 2


async def read_with_httpx(url: str, seen: list[ServerSentEvent], last_event_id: str) -> int:
    """Read one connection to its end, append its events to a list, and return the status."""
    see = seen.append
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with (
        httpx.AsyncClient(timeout=20) as client,
        aconnect_sse(client, "GET", url, headers=headers) as source,
    ):
        if source.response.status_code == 200:
            async for event in source.aiter_sse():
                see(event)
    return source.response.status_code


async def test_httpx_sse_reads_to_the_end_and_resumes(
    conductor: SimulatedConductor, wire: FaultyProxy
) -> None:
    url = f"{wire.url}/api/jobs/a/stream?poll_interval=0.1"
    seen: list[ServerSentEvent] = []

    def completed() -> list[int]:
        return [e.json()["completed_sheets"] for e in seen if e.event == "job_status"]

    reading = asyncio.create_task(read_with_httpx(url, seen, ""))
    await wait_until(lambda: any(event.event == "job_sheets" for event in seen))
    complete_sheet(conductor, 1)
    await wait_until(lambda: completed() == [0, 1])
    wire.disconnect_all()
    with pytest.raises(httpx.TransportError):
        await reading
    complete_sheet(conductor, 2)
    last = next(event.id for event in reversed(seen) if event.id)
    reading = asyncio.create_task(read_with_httpx(url, seen, last))
    await wait_until(lambda: completed() == [0, 1, 2])
    complete_sheet(conductor, 3)
    assert await reading == 200
    assert completed() == [0, 1, 2, 3]
    assert seen[-1].event == "job_finished"
    assert await read_with_httpx(url, seen, seen[-1].id) == 204
