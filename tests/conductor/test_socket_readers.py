"""Readers of the monitor socket return all bytes, and cost nothing while idle."""

import asyncio
import select
import socket
import time
from collections.abc import AsyncIterator

import pytest

from marianne_stream.conductor.socket_readers import HeldByteReader, PlainReader, SocketReader

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")


@pytest.fixture(params=[HeldByteReader, PlainReader])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[SocketReader, socket.socket]]:
    """Yield a reader and the peer of its socket."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    reader: SocketReader = request.param(ours)
    yield reader, theirs
    reader.close()
    theirs.close()


async def read_all(reader: SocketReader) -> bytes:
    data = b""
    while chunk := await reader.read():
        data += chunk
    return data


async def test_bytes_returned_as_they_arrive(pair: tuple[SocketReader, socket.socket]) -> None:
    reader, theirs = pair
    for piece in (b"one\n", b"t", b"wo\n", b"\n"):
        theirs.send(piece)
        assert await reader.read() == piece


async def test_bytes_before_end_returned_first(
    pair: tuple[SocketReader, socket.socket],
) -> None:
    reader, theirs = pair
    theirs.send(b"last words\n")
    theirs.close()
    assert await read_all(reader) == b"last words\n"


async def test_more_than_one_read_returned_complete(
    pair: tuple[SocketReader, socket.socket],
) -> None:
    reader, theirs = pair
    data = bytes(range(256)) * 8192
    sending = asyncio.create_task(asyncio.to_thread(theirs.sendall, data))
    got = b""
    while len(got) < len(data):
        got += await reader.read()
    await sending
    assert got == data


async def test_read_in_progress_ends_on_close(
    pair: tuple[SocketReader, socket.socket],
) -> None:
    reader, _theirs = pair
    reading = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    reader.close()
    assert await asyncio.wait_for(reading, 1) == b""


async def test_cancelled_read_loses_nothing(pair: tuple[SocketReader, socket.socket]) -> None:
    reader, theirs = pair
    reading = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    theirs.send(b"x\n")
    reading.cancel()
    await asyncio.wait([reading])
    assert await reader.read() == b"x\n"


async def test_held_byte_resets_peer_on_close() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    reader = HeldByteReader(ours)
    theirs.send(b"an answer\n")
    assert await reader.read() == b"an answer\n"
    reader.close()
    with pytest.raises(ConnectionResetError), theirs:
        theirs.recv(1)


async def test_plain_reader_closes_without_reset() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    reader = PlainReader(ours)
    theirs.send(b"an answer\n")
    assert await reader.read() == b"an answer\n"
    reader.close()
    with theirs:
        assert theirs.recv(1) == b""


async def test_held_byte_does_not_spin_loop() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    reader = HeldByteReader(ours)
    theirs.send(b"x\n")
    assert await reader.read() == b"x\n"
    reading = asyncio.create_task(reader.read())
    before = time.process_time()
    await asyncio.sleep(0.2)
    assert time.process_time() - before < 0.1
    theirs.send(b"y\n")
    assert await reading == b"y\n"
    reader.close()
    theirs.close()
