"""TCP proxy whose connections can be cut or made to hang."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class FaultyProxy:
    """Forwards connections to a server.

    Attributes:
        url: the URL for clients.
        connection_count: connections accepted so far.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.connection_count = 0
        # Connections that are older than the last call of `blackhole` transfer nothing.
        self._blackhole_count = 0

    def disconnect_all(self) -> None:
        """Abort all connections."""
        for writer in self._writers:
            writer.transport.abort()

    def blackhole(self) -> None:
        """Keep existing connections open and transfer nothing on them any more.

        This is how connections look to a machine that slept.
        """
        self._blackhole_count += 1

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until it ends."""
        self.connection_count += 1
        away_reader, away = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, away}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, away))
                group.create_task(self._copy(away_reader, writer))
        finally:
            self._writers -= {writer, away}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy bytes until either side ends."""
        deafened = self._blackhole_count
        try:
            while data := await reader.read(65536):
                if deafened == self._blackhole_count:
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            # Aborted by disconnect_all.
            pass
        finally:
            writer.close()


@asynccontextmanager
async def run_faulty_proxy(address: str) -> AsyncIterator[FaultyProxy]:
    """Run a proxy to a server."""
    host, port = urlsplit(address).netloc.split(":")
    wire = FaultyProxy(host, int(port))
    async with await asyncio.start_server(wire.forward, "127.0.0.1", 0) as listening:
        wire.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield wire
        wire.disconnect_all()
