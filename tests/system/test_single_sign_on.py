"""Single sign-on through a real nginx, with the configuration of the guide; headers of clients."""

import asyncio
import getpass
import subprocess
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from marianne_stream.auth.tokens import read_proxy_secret
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.external import require_program
from tests.support.nginx_server import ProxiedServer, fill_example, run_behind_nginx, run_nginx
from tests.support.ports import free_port
from tests.support.sign_on import (
    JOBS,
    PROXY_SECRET,
    SECRET,
    TOKEN,
    USER,
    SignOnService,
    guide_blocks,
    run_answering,
    run_behind_sign_on,
    run_sign_on_server,
)
from tests.support.terminals import run_command
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until

HTML = {"Accept": "text/html,*/*"}

SIGN_OUT = "/oauth2/sign_out?rd=/oauth2/sign_in"

# What a client sends that would like to be somebody else.
FORGED = {USER: "root@example.org", JOBS: "*", SECRET: PROXY_SECRET}


async def list_jobs(behind: ProxiedServer, **headers: str) -> list[str]:
    """Return the names of the jobs that the browser sees."""
    async with behind.session.get(f"{behind.address}/api/jobs", headers=headers) as response:
        assert response.status == 200
        return [job["job_id"] for job in (await response.json())["jobs"]]


def test_command_of_the_guide_writes_a_secret_that_the_server_reads(tmp_path: Path) -> None:
    require_program("openssl")
    path = tmp_path / "proxy-secret"
    (command,) = [block for block in guide_blocks("console") if "openssl" in block]
    command = command.replace("@USER@", getpass.getuser()).removeprefix("$ ")
    command = command.replace("/etc/marianne-stream-proxy.secret", str(path))
    subprocess.run([require_program("bash"), "-ec", command], check=True, timeout=60)
    assert len(read_proxy_secret(path)) == 64


@pytest.mark.parametrize("over_tcp", [False, True])
async def test_nobody_signs_in_twice(
    tmp_path: Path, conductor: SimulatedConductor, *, over_tcp: bool
) -> None:
    conductor.launch("nightly-1", 2)
    conductor.launch("secret", 2)
    service = SignOnService()
    async with run_sign_on_server(tmp_path, over_tcp=over_tcp) as server:
        tcp_address = server.address.removeprefix("http://") if over_tcp else ""
        async with run_behind_sign_on(tmp_path, service, tcp_address=tcp_address) as behind:
            # A script of a page whose user is not signed in, and one that forges the headers.
            for headers in ({}, FORGED):
                url = f"{behind.address}/api/jobs"
                async with behind.session.get(url, headers=headers) as response:
                    assert response.status == 401
                    assert (await response.json())["code"] == "unauthenticated"
            address = f"{behind.address}/jobs/nightly-1?a=b&c=d"
            async with behind.session.get(address, headers=HTML) as page:
                assert (page.status, str(page.url)) == (200, address)
                text = await page.text()
            assert service.sign_ins == 1
            assert 'name="token"' not in text
            assert f'<a class="quiet" href="{SIGN_OUT}">Sign out</a>' in text
            assert await list_jobs(behind) == ["nightly-1"]
            assert await list_jobs(behind, **FORGED) == ["nightly-1"]
            assert await list_jobs(behind, Authorization=f"Bearer {TOKEN}") == ["nightly-1"]
            url = f"{behind.address}/api/jobs/nightly-1/stream"
            async with open_viewer(behind.session, url) as viewer:
                await viewer.wait_for("job_status")
                conductor.complete_sheet("nightly-1", 1)
                await viewer.wait_for_status(completed_sheets=1)
            async with behind.session.get(f"{behind.address}/login", headers=HTML) as page:
                assert (page.status, page.url.path) == (200, "/")
            assert service.sign_ins == 1
        entry = "signed in address=127.0.0.1 user=alice@example.org method=proxy"
        await wait_until(lambda: server.log.count(entry) == 1)
        assert "root@example.org" not in server.log
        assert PROXY_SECRET not in server.log


async def test_sign_out_and_groups_are_those_of_the_proxy(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("nightly-1", 2)
    conductor.launch("secret", 2)
    service = SignOnService()
    async with (
        run_sign_on_server(tmp_path) as server,
        run_behind_sign_on(tmp_path, service) as behind,
    ):
        service.user = ("bob@example.org", "operators")
        async with behind.session.get(f"{behind.address}/", headers=HTML) as page:
            assert page.status == 200
        assert sorted(await list_jobs(behind)) == ["nightly-1", "secret"]
        async with behind.session.get(f"{behind.address}{SIGN_OUT}", headers=HTML) as page:
            assert await page.text() == "Sign in with the provider"
        async with behind.session.get(f"{behind.address}/api/jobs") as response:
            assert response.status == 401
        assert service.sign_ins == 1
        # Without an address to go to, oauth2-proxy leads to the page, where the user signs in.
        async with behind.session.get(f"{behind.address}/oauth2/sign_out", headers=HTML) as page:
            assert (page.status, page.url.path) == (200, "/")
        assert service.sign_ins == 2
        async with behind.session.get(f"{behind.address}{SIGN_OUT}", headers=HTML) as page:
            assert page.url.path == "/oauth2/sign_in"
        service.user = ("carol@example.org", "guests")
        async with behind.session.get(f"{behind.address}/", headers=HTML) as page:
            assert page.status == 403
            assert (await page.json())["code"] == "sign_on_refused"
        await wait_until(lambda: "sign-on refused address=127.0.0.1 reason=no_jobs" in server.log)


@pytest.mark.parametrize("example", ["nginx.conf", "nginx-edges.conf", "nginx-dashboard.conf"])
async def test_examples_clear_the_headers_of_clients(tmp_path: Path, example: str) -> None:
    received: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        received.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response()

    port, edge = free_port(), f"127.0.0.1:{free_port()}"
    path = "/api/jobs/a/stream"
    if example == "nginx-dashboard.conf":
        socket = tmp_path / "http.sock"
        names = {"SERVER_NAME": "localhost", "LISTEN": f"127.0.0.1:{port}", "TOKEN": TOKEN}
        text = fill_example(example, SOCKET=socket, DASHBOARD="http://127.0.0.1:1", **names)
        async with (
            run_answering(answer, path=socket),
            run_nginx(tmp_path / "nginx", text, port),
            aiohttp.ClientSession() as session,
            session.get(f"http://localhost:{port}{path}", headers=FORGED) as response,
        ):
            assert response.status == 200
    else:
        servers: dict[str, object] = {"SOCKET": tmp_path / "http.sock"}
        if example == "nginx-edges.conf":
            servers = {"EDGE_1": edge, "EDGE_2": edge}
        tcp_port = int(edge.rpartition(":")[2])
        async with (
            run_answering(answer, path=tmp_path / "http.sock"),
            run_answering(answer, port=tcp_port),
            run_behind_nginx(tmp_path, example=example, **servers) as behind,
            behind.session.get(f"{behind.address}{path}", headers=FORGED) as response,
        ):
            assert response.status == 200
    (headers,) = received
    assert "x-request-id" in headers
    assert headers.keys().isdisjoint({name.lower() for name in FORGED})


async def test_header_of_a_client_is_ignored_through_the_example_and_directly(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    """The server expects such headers, and nginx names no user: its file is unchanged."""
    conductor.launch("nightly-1", 2)
    async with (
        run_sign_on_server(tmp_path) as server,
        run_behind_nginx(tmp_path) as behind,
    ):
        url = f"{behind.address}/api/jobs"
        for headers in (FORGED, {name.lower(): value for name, value in FORGED.items()}):
            async with behind.session.get(url, headers=headers) as response:
                assert response.status == 401
        bearer = {**FORGED, "Authorization": f"Bearer {TOKEN}"}
        async with behind.session.get(url, headers=bearer) as response:
            assert response.status == 200
        assert "user=" not in server.log
    async with (
        run_sign_on_server(tmp_path, over_tcp=True) as server,
        aiohttp.ClientSession() as session,
    ):
        wrong = {**FORGED, SECRET: "another-secret-0123456789"}
        async with session.get(f"{server.address}/api/jobs", headers=wrong) as response:
            assert response.status == 401
        await wait_until(lambda: "address=127.0.0.1 reason=wrong_secret" in server.log)


async def test_server_that_could_trust_nobody_does_not_start(tmp_path: Path) -> None:
    arguments = ("--port", "0", "--data-dir", tmp_path, "--auth-user-header", USER)
    async with asyncio.timeout(20):
        ended = await run_command(tmp_path, "serve", *arguments)
    assert ended.exit_code == 2
    assert "set uds, or auth_header_secret_file" in ended.stderr
