"""A real Redis on loopback: started, killed, and started again, with its data or without."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.support.external import require_program
from tests.support.ports import free_port

TIMEOUT_S = 10.0

# Nothing is saved but by what a test says, and a replica need not wait for others to come.
FAST_OPTIONS = ("--save", "", "--repl-diskless-sync-delay", "0")


class RedisServer:
    """A Redis server of its own.

    Args:
        folder: where it keeps what it is to find again.
        is_durable: whether it finds its data again after it was killed.
        options: what else it is told, as its own options.
        config: a file with more of them, which a Sentinel must have.
        command: which program it is.
        client_options: how one connects who may do anything, as redis-py names it; by TLS where it
            has ssl.

    Attributes:
        port: where it listens.
        client: one who may do anything.
    """

    def __init__(
        self,
        folder: Path,
        *,
        is_durable: bool = False,
        options: Sequence[object] = (),
        config: Path | None = None,
        command: str = "",
        client_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder = folder
        self._is_durable = is_durable
        self._options = tuple(map(str, options))
        self._command = (command or require_program("redis-server"), *((config,) if config else ()))
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()
        client_options = client_options or {}
        by_tls = "ssl" in client_options
        self._listen_options = (
            ("--tls-port", self.port, "--port", 0) if by_tls else ("--port", self.port)
        )
        self.client = Redis(port=self.port, protocol=2, **client_options)

    @property
    def url(self) -> str:
        """Where a relay finds it."""
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts it, and returns when it answers."""
        options = (*map(str, self._listen_options), "--bind", "127.0.0.1", *FAST_OPTIONS)
        durable = ("--appendonly", "yes", "--appendfsync", "always") if self._is_durable else ()
        self._process = await asyncio.create_subprocess_exec(
            *(*self._command, *options, *durable, "--dir", str(self._folder), *self._options),
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                if await self._is_ready():
                    return
                await asyncio.sleep(0.02)

    async def _is_ready(self) -> bool:
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

    async def call(self, *arguments: str | bytes | int) -> Any:
        """Does any command."""
        return await self.client.execute_command(*arguments)  # type: ignore[no-untyped-call]

    async def read_stream(self, key: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """All entries of a stream, with their ids."""
        found: list[tuple[bytes, dict[bytes, bytes]]] = await self.call("XRANGE", key, "-", "+")
        return found


@asynccontextmanager
async def run_redis(
    folder: Path, *, is_durable: bool = False, **given: Any
) -> AsyncIterator[RedisServer]:
    """A Redis server for as long as the context lasts; the test skips where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(folder, is_durable=is_durable, **given)
    try:
        await server.start()
        yield server
    finally:
        await server.close()
