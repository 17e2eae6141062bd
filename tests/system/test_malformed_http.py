"""Malformed HTTP gets an error in the standard form, without details of the server."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.processes import ManagedProcess, run_server
from tests.support.raw_http import exchange

HOST = b"Host: localhost\r\n"
SECRET = b"what-was-sent"

HEAD = b"GET /health HTTP/1.1\r\n" + HOST
FAULTS = (
    (SECRET + b"\r\n\r\n", 400),
    (b"GET /a?" + SECRET + b"\x00 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (HEAD + SECRET + b"\r\n\r\n", 400),
    (HEAD + b"Host: " + SECRET + b"\r\n\r\n", 400),
    (HEAD + b"X: " + SECRET * 300 + b"\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (HEAD + b"Expect: " + SECRET + b"\r\n\r\n", 417),
    (b"GET /nothing HTTP/1.1\r\n" + HOST + b"Expect: " + SECRET + b"\r\n\r\n", 417),
)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[ManagedProcess]:
    """Run a server whose log must stay empty."""
    async with run_server(tmp_path, "--max-header-bytes", 2048) as running:
        yield running
        assert "ERROR" not in running.log


async def test_malformed_http_gets_the_standard_error(running: ManagedProcess) -> None:
    for asked, status in FAULTS:
        answer = await asyncio.to_thread(exchange, running.address, [asked])
        version, code, *_ = answer.split()
        assert (version[:7], int(code)) == (b"HTTP/1.", status), asked
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Server: marianne-stream\r\n" in head
        assert b"Cache-Control: private, no-store" in head
        assert b"X-Content-Type-Options: nosniff" in head
        assert b"X-Request-ID: " in head
        assert {"detail", "code"} == set(json.loads(body))
        for told in (SECRET, b"aiohttp", b"Python"):
            assert told not in answer


async def test_malformed_http_is_counted(running: ManagedProcess) -> None:
    await asyncio.to_thread(exchange, running.address, [SECRET + b"\r\n\r\n"])
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{running.address}/metrics") as answer,
    ):
        text = await answer.text()
    assert 'marianne_stream_http_requests_total{method="OTHER",route="",status="400"} 1.0' in text
