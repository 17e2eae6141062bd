"""Real Redis on loopback that can be killed and restarted, with or without its data."""

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

# No snapshots, and replicas synchronize without delay.
FAST_OPTIONS = ("--save", "", "--repl-diskless-sync-delay", "0")


class RedisServer:
    """A Redis server process.

    Args:
        folder: directory for its data.
        is_durable: keep the data when the server is killed.
        options: more command line options.
        config: configuration file, required by a Sentinel.
        command: the program; `redis-server` if empty.
        client_options: options of redis-py for an administrator's connection; with `ssl`, the
            server listens with TLS.

    Attributes:
        port: the TCP port.
        client: client with all rights.
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
        """Return the URL for a relay."""
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the server and wait until it answers."""
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
        """Kill the server, as a crash would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def close(self) -> None:
        """Close the client and kill the server."""
        await self.client.aclose()
        await self.kill()

    async def call(self, *arguments: str | bytes | int) -> Any:
        """Execute any command."""
        return await self.client.execute_command(*arguments)  # type: ignore[no-untyped-call]

    async def read_stream(self, key: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Return all entries of a stream with their ids."""
        found: list[tuple[bytes, dict[bytes, bytes]]] = await self.call("XRANGE", key, "-", "+")
        return found


@asynccontextmanager
async def run_redis(
    folder: Path, *, is_durable: bool = False, **given: Any
) -> AsyncIterator[RedisServer]:
    """Run a Redis server; skip the test if Redis is not installed."""
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(folder, is_durable=is_durable, **given)
    try:
        await server.start()
        yield server
    finally:
        await server.close()
