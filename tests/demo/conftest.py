"""Clients of the simulated conductor, for its tests."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor

TIMEOUT_S = 5.0


class LineClient:
    """Connection that sends and reads lines, independent of the package's own client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.last_id = 0

    async def send(self, method: str, **params: object) -> int:
        self.last_id += 1
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": self.last_id}
        self.writer.write(json.dumps(request).encode() + b"\n")
        await self.writer.drain()
        return self.last_id

    async def read_message(self, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            message: dict[str, Any] = json.loads(await self.reader.readline())
        return message

    async def call(self, method: str, **params: object) -> Any:
        request_id = await self.send(method, **params)
        response = await self.read_message()
        assert response["id"] == request_id
        return response["result"]

    async def call_error(self, method: str, **params: object) -> dict[str, Any]:
        await self.send(method, **params)
        error: dict[str, Any] = (await self.read_message())["error"]
        return error

    async def is_silent(self, for_s: float = 0.05) -> bool:
        """Return whether nothing arrives for a while."""
        try:
            await asyncio.wait_for(self.reader.readexactly(1), for_s)
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


ConnectFactory = Callable[[], Awaitable[LineClient]]


@pytest.fixture
async def connect(conductor: SimulatedConductor) -> AsyncIterator[ConnectFactory]:
    """Return a function that connects; the connections are closed at the end."""
    clients: list[LineClient] = []

    async def connect() -> LineClient:
        streams = await asyncio.open_unix_connection(conductor.socket_path, limit=2**25)
        clients.append(LineClient(*streams))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()
