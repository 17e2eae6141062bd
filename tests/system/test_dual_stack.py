"""Server that listens on several addresses, IPv4 and IPv6, as a process."""

import socket
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.external import require_ipv6
from tests.support.processes import ManagedProcess, run_process, run_server
from tests.support.server_restart import run_activated_server
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until

TOKEN = "whole-token-0123456789"

EDGE_WITH_WORKERS = (
    *("--workers", 2, "--state-backend", "redis", "--sources", "here"),
    *("--redis-url", "redis://127.0.0.1:1"),
)


def is_logged(running: ManagedProcess, text: str) -> bool:
    return text in running.log


@pytest.fixture(autouse=True)
def _ipv6() -> None:
    require_ipv6()


async def test_every_address_is_announced_and_serves_streams(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 3)
    async with (
        run_server(tmp_path, "--host", "127.0.0.1", "--host", "::1") as running,
        aiohttp.ClientSession() as session,
    ):
        await wait_until(lambda: running.output)
        port = running.address.rpartition(":")[2]
        assert running.address == f"http://127.0.0.1:{port}"
        assert running.output == f"marianne-stream listening on http://[::1]:{port}\n"
        for address in (f"http://127.0.0.1:{port}", f"http://[::1]:{port}"):
            async with open_viewer(session, f"{address}/api/jobs/a/stream") as viewer:
                await viewer.wait_for("job_sheets")
        assert f"addresses=http://127.0.0.1:{port},http://[::1]:{port}" in running.log


async def test_all_addresses_of_ipv6_serve_ipv4_clients_by_their_own_address(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    del conductor
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    tokens.chmod(0o600)
    arguments = (
        *("-m", "marianne_stream", "--host", "::", "--port", 0, "--token-file", tokens),
        *("--conductor-socket", tmp_path / "c.sock", "--data-dir", tmp_path / "own"),
        *("--trusted-proxies", "127.0.0.0/8"),
    )
    async with (
        run_process(*arguments) as running,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
    ):
        port = running.address.removeprefix("http://[::]:")
        for host in ("127.0.0.1", "[::1]"):
            async with session.get(f"http://{host}:{port}/api/jobs") as response:
                assert response.status == 200
        wrong = {"Authorization": "Bearer wrong", "X-Forwarded-For": "198.51.100.7"}
        for host, client in (("127.0.0.1", "198.51.100.7"), ("[::1]", "::1")):
            async with session.get(f"http://{host}:{port}/api/jobs", headers=wrong) as response:
                assert response.status == 401
            await wait_until(partial(is_logged, running, f"address={client} "))


async def test_passed_ipv6_socket_replaces_the_setting(tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as passed:
        async with (
            run_activated_server(passed, tmp_path, "--no-auth", "--host", "127.0.0.1") as running,
            aiohttp.ClientSession() as session,
        ):
            assert running.address == f"http://[::1]:{passed.getsockname()[1]}"
            async with session.get(f"{running.address}/health") as response:
                assert response.status == 200


@pytest.mark.parametrize("options", [(), EDGE_WITH_WORKERS])
@pytest.mark.parametrize(
    ("hosts", "code", "sentence"),
    [
        ("127.0.0.1,::", 2, "no_auth serves without a token, but other machines can reach ::"),
        ("::1,192.0.2.1", 1, "cannot listen on 192.0.2.1 port "),
        ("::1,a..b", 1, "cannot listen on a..b port 0: invalid host name"),
        ("::,::1", 2, "host has ::, which includes ::1: leave out one of them"),
    ],
)
async def test_address_that_cannot_be_served_ends_the_start(
    tmp_path: Path, hosts: str, code: int, sentence: str, options: tuple[object, ...]
) -> None:
    async with run_server(tmp_path, "--host", hosts, *options) as refused:
        assert await refused.wait() == code
        assert sentence in refused.log
        assert refused.first_line == ""
