"""Clients of a conductor, and conductors with scripted answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from marianne_stream.conductor.client import ConductorClient
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.models import MonitorEvent
from tests.support.waiting import wait_until

HEALTH_REQUEST = b'{"jsonrpc":"2.0","method":"daemon.health","params":{},"id":1}\n'


class RecordingListener:
    """Records what a client reports about the monitor."""

    def __init__(self) -> None:
        self.events: list[MonitorEvent] = []
        self.calls: list[str] = []

    def on_event(self, event: MonitorEvent) -> None:
        self.events.append(event)

    def on_subscribed(self) -> None:
        self.calls.append("subscribed")

    def on_subscription_lost(self) -> None:
        self.calls.append("lost")


@asynccontextmanager
async def run_client(
    path: Path, **options: Any
) -> AsyncIterator[tuple[ConductorClient, RecordingListener]]:
    """Run a client of a conductor."""
    client = ConductorClient(path, **options)
    listener = RecordingListener()
    task = asyncio.create_task(client.run(listener))
    try:
        yield client, listener
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def run_scripted_conductor(path: Path, *responses: bytes) -> AsyncIterator[None]:
    """Run a conductor that answers each line with the next response, then disconnects."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (b'{"id":1,"result":{}}\n', *responses):
            await reader.readline()
            writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(handle, path):
        yield


@asynccontextmanager
async def occupy_slots(conductor: SimulatedConductor, count: int) -> AsyncIterator[None]:
    """Hold this many of the conductor's connection slots."""
    before = conductor.statistics.slots_taken
    async with AsyncExitStack() as stack:
        for _ in range(count):
            _, writer = await asyncio.open_unix_connection(conductor.socket_path)
            stack.callback(writer.close)
            writer.write(HEALTH_REQUEST)
        await wait_until(lambda: conductor.statistics.slots_taken == before + count)
        yield


async def request_job_list(conductor: SimulatedConductor, *, timeout_s: float = 1.0) -> bytes:
    """Call `job.list` as another client would, within a limit."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_unix_connection(conductor.socket_path)
        try:
            writer.write(HEALTH_REQUEST.replace(b"daemon.health", b"job.list"))
            return await reader.readline()
        finally:
            writer.close()


async def make_dead_slots(conductor: SimulatedConductor, count: int) -> None:
    """Open and close this many subscriptions; the next event frees their slots."""
    before = conductor.statistics.monitor_streams_open
    writers = []
    for _ in range(count):
        _, writer = await asyncio.open_unix_connection(conductor.socket_path)
        writer.write(HEALTH_REQUEST.replace(b"daemon.health", b"daemon.monitor.stream"))
        writers.append(writer)
    await wait_until(lambda: conductor.statistics.monitor_streams_open == before + count)
    for writer in writers:
        writer.close()
