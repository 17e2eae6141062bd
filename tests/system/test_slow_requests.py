"""Requests that are slow, too long, or never end."""

import asyncio
import contextlib
import gzip
import itertools
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.processes import ManagedProcess, run_server
from tests.support.raw_http import exchange, exchange_last, open_connection, receive

HEAD_LIMIT_BYTES = 2048

# Headers of a connection's only request.
CLOSE = "Host: localhost\r\nConnection: close\r\n"

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
LOGIN = (
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[ManagedProcess]:
    """Run a server with short timeouts."""
    options = ("--idle-timeout-s", 1, "--max-header-bytes", HEAD_LIMIT_BYTES)
    async with run_server(tmp_path, *options) as running:
        yield running
        assert "ERROR" not in running.log


async def send_slowly(address: str, pieces: Iterable[bytes]) -> bytes:
    """Send a piece every 20 ms until the server closes; return the response."""
    where = urlsplit(address)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)

    async def send() -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)

    sending = asyncio.create_task(send())
    heard = b""
    try:
        async with asyncio.timeout(8):
            # A write to a closed connection may fail with a reset.
            with contextlib.suppress(ConnectionResetError):
                while data := await reader.read(65536):
                    heard += data
            return heard
    finally:
        sending.cancel()
        await asyncio.wait([sending])
        writer.close()


# The beginning of a request, the piece that is repeated, and the begin of the response.
SLOW_REQUESTS = (
    (b"", b"", b""),
    (b"GET /health HTTP/1.1\r\nX: ", b"y", b""),
    (b"GET /health HTTP/1.1\r\n", b"A: b\r\n", b""),
    (HEALTH, b"\r\n", b"HTTP/1.1 200"),
    (HEALTH + b"GET /health HTTP/1.1\r\nX: ", b"y", b"HTTP/1.1 200"),
    (LOGIN + b"Content-Length: 9999\r\n\r\n", b"a", b"HTTP/1.1 400"),
    (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", b"HTTP/1.1 400"),
    (b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n", b"a", b"HTTP/1.1 421"),
)


async def test_slow_request_times_out_and_is_closed(running: ManagedProcess) -> None:
    answers = await asyncio.gather(
        *(
            send_slowly(running.address, itertools.chain([first], itertools.repeat(piece, 500)))
            for first, piece, _ in SLOW_REQUESTS
        )
    )
    assert [answer[:12] for answer in answers] == [status for *_, status in SLOW_REQUESTS]


@pytest.mark.parametrize("spare", [1, 0, -1])
async def test_url_longer_than_the_limit_is_rejected(running: ManagedProcess, spare: int) -> None:
    path = "/health?".ljust(HEAD_LIMIT_BYTES - spare, "x")
    request = f"GET {path} HTTP/1.1\r\n{CLOSE}\r\n".encode()
    answer = await asyncio.to_thread(exchange_last, running.address, request)
    assert answer[8:12] == (b" 200" if spare >= 0 else b" 400")


@pytest.mark.parametrize("spare", [1, 0, -1])
async def test_header_longer_than_the_limit_is_rejected(
    running: ManagedProcess, spare: int
) -> None:
    value = "x" * (HEAD_LIMIT_BYTES - spare)
    request = f"GET /health HTTP/1.1\r\n{CLOSE}Last-Event-ID: {value}\r\n\r\n".encode()
    answer = await asyncio.to_thread(exchange_last, running.address, request)
    assert answer[8:12] == (b" 200" if spare >= 0 else b" 400")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b"a"),
        (b"GET /", b"a"),
        (b"GET /health HTTP/1.1\r\nX: ", b"a"),
        (b"GET /health HTTP/1.1\r\n", b"A: b\r\n"),
        (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
        (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
        (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (LOGIN + b"Content-Length: 999999999\r\n\r\n", b"a"),
        (b"GET /health HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n", b"a"),
        (b"GET /api/roster/stream HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", b"a"),
    ],
    ids=[
        *("method", "address", "header", "headers", "chunk extension", "trailers"),
        *("chunks", "form", "upgrade", "body to a stream"),
    ],
)
async def test_endless_request_is_not_buffered(
    running: ManagedProcess, first: bytes, then: bytes
) -> None:
    """40 MB are more than the rest of its memory; none of it remains afterwards."""
    before = running.rss_kib()
    block = then * (400_000 // len(then))
    pieces = itertools.chain([first], itertools.repeat(block, 100))
    await asyncio.wait_for(asyncio.to_thread(pour, running.address, pieces), 20)
    assert running.rss_kib() - before < 10_000


def pour(address: str, pieces: Iterable[bytes]) -> None:
    """Send as much as the server accepts."""
    try:
        exchange(address, pieces)
    except TimeoutError:
        # The server stops reading and is not called again.
        return


async def test_compressed_form_is_rejected(running: ManagedProcess) -> None:
    """Not even a small one: its size is known only after decompression."""
    for body in (gzip.compress(b"token=a"), b"not compressed at all"):
        head = b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        request = LOGIN + head % len(body) + body
        answer = await asyncio.to_thread(exchange_last, running.address, request)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b'"code":"bad_request"' in answer


def send_and_receive(address: str, requests: bytes) -> bytes:
    """Send requests, the last of which asks for the end of the connection; return the answers."""
    with open_connection(address) as sock:
        sock.sendall(requests)
        return receive(sock)


async def test_pipelined_requests_are_answered_in_order(
    running: ManagedProcess,
) -> None:
    ids = [b"request-%d" % number for number in range(100)]
    requests = [HEALTH[:-2] + b"X-Request-ID: %s\r\n\r\n" % number for number in ids]
    requests[-1] = requests[-1][:-2] + b"Connection: close\r\n\r\n"
    answer = await asyncio.to_thread(send_and_receive, running.address, b"".join(requests))
    lines = [line for line in answer.split(b"\r\n") if line.startswith(b"X-Request-ID")]
    assert lines == [b"X-Request-ID: " + number for number in ids]
