"""A real Redis on loopback: started, killed, and started again, with its data or without."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.support.external import program

LIMIT_S = 10.0


class RedisServer:
    """A Redis server of its own.

    Args:
        folder: where it keeps what it is to find again.
        durable: whether it finds its data again after it was killed.

    Attributes:
        port: where it listens.
        client: one who may do anything.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._folder = folder
        self._durable = durable
        self._program = program("redis-server")
        self._process: asyncio.subprocess.Process | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.client = Redis(port=self.port, protocol=2)

    @property
    def url(self) -> str:
        """Where a relay finds it."""
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts it, and returns when it answers."""
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "")
        durable = ("--appendonly", "yes", "--appendfsync", "always") if self._durable else ()
        self._process = await asyncio.create_subprocess_exec(
            *(self._program, *options, *durable, "--dir", str(self._folder)),
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(LIMIT_S):
            while True:
                if await self._answers():
                    return
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        with contextlib.suppress(RedisError, OSError):
            answer: Any = self.client.ping()
            return bool(await answer)
        return False

    async def kill(self) -> None:
        """Ends it as a crash does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def close(self) -> None:
        """Ends it for good."""
        await self.client.aclose()
        await self.kill()

    async def call(self, *words: str | bytes | int) -> Any:
        """Does any command."""
        return await self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    async def entries(self, key: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """All entries of a stream, with their ids."""
        found: list[tuple[bytes, dict[bytes, bytes]]] = await self.call("XRANGE", key, "-", "+")
        return found


@asynccontextmanager
async def redis_server(folder: Path, *, durable: bool = False) -> AsyncIterator[RedisServer]:
    """A Redis server for as long as the context lasts; the test skips where there is none."""
    server = RedisServer(folder, durable=durable)
    try:
        await server.start()
        yield server
    finally:
        await server.close()
