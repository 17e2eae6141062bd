"""Fuzzed requests, within the OpenAPI description and without, against a running server.

The server has a token, jobs that start and end, and their logs.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.web.routes import ROUTES
from tests.support.processes import CHECKOUT, ManagedProcess, run_process
from tests.support.raw_http import exchange

TOKEN = "whole-token-0123456789"
SCHEMATHESIS = CHECKOUT / "tests" / "support" / "schemathesis.toml"
LIMIT_S = 400.0

HOST = b"Host: localhost\r\n"
BEARER = f"Authorization: Bearer {TOKEN}\r\n".encode()

# Parts of requests: valid, slightly wrong, and garbage.
METHODS = (b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"TRACE", b"PRI", b"get", b"G\0T", b"")
STATIC = b"/static/0123456789abcdef"
TARGETS = (
    *(
        b"/health",
        b"/ready",
        b"/metrics",
        b"/login",
        b"/logout",
        STATIC + b"/css/page.css",
    ),
    *(b"/api/jobs", b"/api/jobs?limit=-1", b"/api/jobs?after=%ff", b"/api/jobs/lantern"),
    *(b"/api/jobs/lantern/stream", b"/api/jobs/lantern/logs", b"/api/jobs/lantern/logs/raw"),
    *(b"/api/events/stream?limit=200", b"/api/roster/stream", b"/api/jobs/%2e%2e%2f/logs/raw"),
    *(
        b"/../../etc/passwd",
        STATIC + b"/..%2f..%2fapp.py",
        b"//a/health",
        b"*",
        b"?",
        b"",
        b"/%",
    ),
    *(b"http://a/health", b"http://[::1/health", b"/api/jobs/\xff\xfe/logs", b"/" + b"a" * 40_000),
)
VERSIONS = (
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/9.9",
    b"HTTP/1.1 ",
    b"",
    b"\0",
)
HEADERS = (
    *(
        b"Host: localhost\r\n",
        b"Host: \xff\r\n",
        b"Host: a:b:c\r\n",
        BEARER,
        b"X: " + b"a" * 40_000,
    ),
    *(
        b"Authorization: Bearer \xff\r\n",
        b"Cookie: =;;\xff=\xed\xa0\x80\r\n",
        b"Origin: http://][\r\n",
    ),
    *(
        b"Content-Length: 7\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999\r\n",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked, x\r\n"),
    *(
        b"Content-Encoding: gzip\r\n",
        b"Content-Type: application/json\r\n",
        b"Content-Type: ;;=\r\n",
    ),
    *(b"Content-Type: multipart/form-data; boundary=\xff\r\n", b"Origin: http://localhost\r\n"),
    *(b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Expect: x\r\n"),
    *(b"Expect: 100-continue\r\n", b"Accept: text/event-stream\r\n", b"Accept: text/html\r\n"),
    *(
        b"Range: bytes=9-1\r\n",
        b"Range: bytes=0-0,5-\r\n",
        b"If-Match: ,\xff\r\n",
        b"If-Range: x\r\n",
    ),
    *(
        b"Last-Event-ID: " + b"9" * 5000 + b"\r\n",
        b"X-Forwarded-For: ,,\r\n",
        b"X-Request-ID: \t\r\n",
    ),
    *(
        b"no colon\r\n",
        b" folded\r\n",
        b": nameless\r\n",
        b"X\0: y\r\n",
        b"A: b\r\n" * 200,
        b"\n",
        b"\r",
    ),
)
BODIES = (
    *(b"", b"token=a", b'{"token":"a"}', b"[" * 5000, b"0\r\n\r\n", b"7\r\ntoken=a\r\n0\r\n\r\n"),
    *(b"zz\r\n", b"-1\r\n\r\n", b"ffffffffffffffffffff\r\n", b"1;" + b"x" * 9000, b"1\r\nab\r\n"),
    *(b"0\r\nTrailer: x\r\n\r\n", b"\0" * 100, b"a" * 70_000),
)

requests = st.builds(
    lambda method, target, version, headers, body: b"".join(
        (method, b" ", target, b" ", version, b"\r\n", *headers, b"\r\n", body)
    ),
    st.sampled_from((*METHODS, b"GET", b"GET", b"POST", b"POST")),
    st.sampled_from(TARGETS),
    st.sampled_from(VERSIONS) | st.just(b"HTTP/1.1"),
    st.builds(
        lambda first, others: [*first, *others],
        st.sampled_from(([HOST], [HOST, BEARER], [HOST, BEARER], [b"Host: a.example\r\n"])),
        st.lists(st.sampled_from(HEADERS), max_size=4),
    ),
    st.sampled_from(BODIES),
)
conversations = st.lists(requests | st.binary(max_size=50), min_size=1, max_size=5)

STATUS = re.compile(rb"^HTTP/\d\.\d (\d{3}) ", re.MULTILINE)


pytestmark = pytest.mark.slow


@asynccontextmanager
async def busy(conductor: SimulatedConductor, folder: Path) -> AsyncIterator[None]:
    """Run one ended job and one job that restarts all the time, each with a log."""
    for name in ("tides", "lantern"):
        (workspace := folder / name).mkdir()
        text = "".join(f"2026-11-24 03:00:00 [info] line {number}\n" for number in range(50))
        (workspace / "marianne.log").write_text(text)
        conductor.launch(name, 3, workspace=str(workspace))
    conductor.finish("tides", "completed")

    async def work() -> None:
        while True:
            for turn in range(25):
                conductor.emit("lantern", "sheet.said", {"turn": turn})
                await asyncio.sleep(0.1)
                if turn == 2:
                    conductor.finish("lantern", "completed")
            conductor.launch("lantern", 3, workspace=str(folder / "lantern"))

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait([working])


@pytest.fixture
async def running(tmp_path: Path, conductor: SimulatedConductor) -> AsyncIterator[ManagedProcess]:
    """Run the server; check at the end that none of its tasks failed."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    tokens.chmod(0o600)
    arguments = (
        *("-m", "marianne_stream", "--port", 0, "--token-file", tokens, "--data-dir", tmp_path),
        *("--conductor-socket", tmp_path / "c.sock", "--registry-path", tmp_path / "state.db"),
        *("--trusted-proxies", "127.0.0.1"),
    )
    async with busy(conductor, tmp_path), run_process(*arguments) as running:
        yield running
        assert "ERROR" not in running.log
        assert "Traceback" not in running.log


async def test_schemathesis_finds_no_failure(running: ManagedProcess, tmp_path: Path) -> None:
    """Run all checks and phases of schemathesis with the server's own description."""
    description = tmp_path / "openapi.json"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{running.address}/openapi.json") as response,
    ):
        description.write_bytes(await response.read())
    finding = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", SCHEMATHESIS, "run"),
        *(description, "--url", running.address, "--checks", "all"),
        cwd=CHECKOUT,
        env={**os.environ, "FUZZ_TOKEN": TOKEN, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(finding.communicate(), LIMIT_S)
    finally:
        if finding.returncode is None:
            finding.kill()
    found = output.decode()
    assert finding.returncode == 0, found
    assert f"Tested: {len(ROUTES)}" in found, found


async def test_random_bytes_cause_no_failure_hang_growth_or_disclosure(
    running: ManagedProcess, tmp_path: Path
) -> None:
    statuses: set[int] = set()
    # A job's workspace is shown to tokens for all jobs.
    hidden = (*(tmp_path / name for name in ("tokens", "c.sock", "state.db", "history")), CHECKOUT)
    secrets = [str(place).encode() for place in (*hidden, sys.prefix)]

    @settings(
        max_examples=500,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(conversations)
    def talk(conversation: list[bytes]) -> None:
        answer = exchange(running.address, conversation)
        for status in map(int, STATUS.findall(answer)):
            statuses.add(status)
            assert status < 500, answer
        for secret in (*secrets, b"Traceback", b"site-packages"):
            assert secret not in answer

    async def health() -> None:
        """Check that the event loop keeps answering."""
        while True:
            async with session.get(f"{running.address}/health") as response:
                assert response.status == 200
            await asyncio.sleep(0.05)

    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        asking = asyncio.create_task(health())
        # What is made at first use and the heap's fragments settle in the first two runs.
        # The third sends the same requests: what grows even then is a leak.
        await asyncio.to_thread(talk)
        await asyncio.to_thread(talk)
        before, files = running.rss_kib(), running.count_open_files()
        await asyncio.to_thread(talk)
        assert not asking.done(), asking.result()
        asking.cancel()
        await asyncio.wait([asking])
    grown = running.rss_kib() - before
    assert grown < 4096
    assert running.count_open_files() <= files + 2
    # The requests reached many handlers, not only the parser.
    assert statuses >= {200, 400, 401, 404, 405, 421}
