"""A wire that can be cut: passes bytes between clients and a server until told otherwise."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class FaultyProxy:
    """Passes connections on to a server.

    Attributes:
        url: where clients connect.
        connection_count: how many connections it has taken.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.connection_count = 0
        # Connections that were made before it became this many times deaf carry nothing any more.
        self._blackhole_count = 0

    def disconnect_all(self) -> None:
        """Cuts all connections off, in the middle of whatever they carry."""
        for writer in self._writers:
            writer.transport.abort()

    def blackhole(self) -> None:
        """Lets all connections be open and carry nothing any more; new ones do.

        So it is for a machine that slept, whose connections were forgotten by others.
        """
        self._blackhole_count += 1

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries one connection to its end."""
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
        """Copies until either side ends."""
        deafened = self._blackhole_count
        try:
            while data := await reader.read(65536):
                if deafened == self._blackhole_count:
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            # Cut off, as was asked.
            pass
        finally:
            writer.close()


@asynccontextmanager
async def run_faulty_proxy(address: str) -> AsyncIterator[FaultyProxy]:
    """A wire to a server, for as long as the context lasts."""
    host, port = urlsplit(address).netloc.split(":")
    wire = FaultyProxy(host, int(port))
    async with await asyncio.start_server(wire.forward, "127.0.0.1", 0) as listening:
        wire.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield wire
        wire.disconnect_all()
