"""Shutdown: streams are drained, or end at once on a second signal."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.nginx_server import SITE_NAME, ProxiedServer, run_behind_nginx
from tests.support.processes import ManagedProcess, run_process
from tests.support.raw_http import open_connection
from tests.support.server_restart import make_server_options, run_activated_server
from tests.support.waiting import wait_until

# Every wait of the shutdown takes an hour: only a second signal ends this server.
PATIENT_SCRIPT = """
import sys
from marianne_stream.cli.main import main
from marianne_stream.web import http_server, stream_registry
limits = {http_server: "SHUTDOWN_TIMEOUT_S", stream_registry: "DRAIN_FLUSH_TIMEOUT_S"}
for module, name in limits.items():
    assert hasattr(module, name)
    setattr(module, name, 3600.0)
sys.exit(main(sys.argv[1:]))
"""


def open_request(running: ManagedProcess, path: str) -> socket.socket:
    """Connect a client that reads only the beginning of the response."""
    sock = open_connection(running.address)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert sock.recv(12) == b"HTTP/1.1 200"
    return sock


async def test_second_signal_ends_the_server_despite_stalled_clients(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    (workspace := tmp_path / "ws").mkdir()
    (workspace / "marianne.log").write_bytes((b"x" * 999 + b"\n") * 30_000)
    conductor.launch("a", 1, workspace=str(workspace))
    options = ("--port", 0, "--no-auth", "--drain-timeout-s", 0, "--max-downloads-per-address", 20)
    async with run_process(
        "-c", PATIENT_SCRIPT, *make_server_options(tmp_path), *options
    ) as running:
        paths = [f"/api/jobs/a/logs{what}" for what in ("?tail_lines=1000", "/raw", "/static")]
        with ExitStack() as stack:
            for path in paths * 3:
                stack.enter_context(await asyncio.to_thread(open_request, running, path))
            running.send_signal(signal.SIGTERM)
            await wait_until(lambda: not accepts(running))
            running.send_signal(signal.SIGTERM)
            assert await running.wait() == 0
    assert "ERROR" not in running.log


def accepts(running: ManagedProcess) -> bool:
    try:
        open_connection(running.address).close()
    except ConnectionError:
        return False
    return True


async def test_failure_during_shutdown_sets_the_exit_code(tmp_path: Path) -> None:
    script = """
import sys
from marianne_stream.auth.authenticator import Authenticator
from marianne_stream.cli.main import main
from marianne_stream.web.stream_registry import StreamRegistry
async def run(self, force):
    def revoke_stale(self): raise ZeroDivisionError("a fault of ours")
    Authenticator.revoke_stale = revoke_stale
    await force.wait()
StreamRegistry.drain = run
sys.exit(main(sys.argv[1:]))
"""
    async with run_process("-c", script, *make_server_options(tmp_path), "--port", 0) as running:
        running.send_signal(signal.SIGTERM)
        await wait_until(lambda: "a fault of ours" in running.log)
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 1
    assert "CRITICAL" in running.log.strip().splitlines()[-1]


@asynccontextmanager
async def watched(
    session: aiohttp.ClientSession, url: str, count: int
) -> AsyncIterator[list[aiohttp.ClientResponse]]:
    """Open streams whose clients leave closing to the server."""
    answers = [await session.get(url) for _ in range(count)]
    try:
        yield answers
    finally:
        for answer in answers:
            answer.close()


async def test_restart_behind_nginx_fails_no_request(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    """Requests on connections that nginx keeps open reach the next server."""
    conductor.launch("a", 1)
    options = ("--no-auth", "--allowed-hosts", SITE_NAME, "--trusted-proxies", "unix")
    with listening(tmp_path / "http.sock") as sock:
        connector = aiohttp.UnixConnector(str(tmp_path / "http.sock"), limit=0)
        async with (
            run_behind_nginx(tmp_path) as behind,
            aiohttp.ClientSession(connector=connector) as direct,
            run_activated_server(sock, tmp_path, *options) as old,
        ):
            assert await asyncio.gather(*(fetch_status(behind) for _ in range(8))) == [200] * 8
            events = "http://localhost/api/events/stream"
            # Draining takes a second and a half.
            async with watched(direct, events, 300) as streams:
                old.send_signal(signal.SIGTERM)
                await wait_until(lambda: any(stream.content.is_eof() for stream in streams))
                asking = [asyncio.create_task(fetch_status(behind)) for _ in range(8)]
                assert await old.wait() == 0
                assert not any(task.done() for task in asking)
            async with run_activated_server(sock, tmp_path, *options):
                assert await asyncio.gather(*asking) == [200] * 8


async def fetch_status(behind: ProxiedServer) -> int:
    async with behind.session.get(f"{behind.address}/api/jobs") as answer:
        return answer.status


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Open a Unix socket, as systemd would hold it."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(path))
        sock.listen(4096)
        yield sock
