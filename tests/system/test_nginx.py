"""The server behind a real nginx with the files of docs/examples."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.typedefs import Handler

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.log_files import append_lines
from tests.support.nginx_server import (
    EXAMPLES,
    SITE_NAME,
    check_unavailable_responses,
    fill_example,
    run_behind_nginx,
    run_nginx,
)
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess, run_process
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until

TOKEN = "whole-token-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def service_args(folder: Path) -> tuple[object, ...]:
    """Return the arguments of a server, as docs/how-to describes."""
    tokens = folder / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    tokens.chmod(0o600)
    return (
        *("-m", "marianne_stream", "--port", "none", "--uds", folder / "http.sock"),
        *("--conductor-socket", folder / "c.sock", "--registry-path", folder / "state.db"),
        *("--data-dir", folder / "own", "--token-file", tokens),
        *("--allowed-hosts", SITE_NAME, "--trusted-proxies", "unix"),
    )


async def test_login_over_tls_opens_streams(tmp_path: Path, conductor: SimulatedConductor) -> None:
    conductor.launch("a", 3)
    async with (
        run_process(*service_args(tmp_path)) as running,
        run_behind_nginx(tmp_path) as behind,
    ):
        session, address = behind.session, behind.address
        async with session.get(f"{address}/", headers={"Accept": "text/html"}) as page:
            assert page.url.path == "/login"
            assert 'name="token"' in await page.text()
        form = {"token": TOKEN, "next": "/"}
        async with session.post(f"{address}/login", data=form, headers={"Origin": address}) as page:
            assert page.status == 200
            assert "Sign out" in await page.text()
        cookie = next(iter(session.cookie_jar))
        assert cookie["secure"]
        # A visit just before the subscription could miss an event, and the stream would say so.
        await wait_until(lambda: "monitor subscribed" in running.log)
        async with open_viewer(session, f"{address}/api/events/stream") as viewer:
            await wait_until(lambda: b'"live":true' in viewer.raw)
            for number in range(5):
                conductor.emit("a", "sheet.said", {"number": number})
                # Each value passes before the next is set.
                await viewer.wait_for("sheet.said", number + 1)
            assert viewer.response.headers["X-Request-ID"]


async def test_http_1_0_upstream_streams(tmp_path: Path, conductor: SimulatedConductor) -> None:
    conductor.launch("a", 2)
    change = ("proxy_http_version 1.1;", "")
    async with (
        run_process(*service_args(tmp_path)),
        run_behind_nginx(tmp_path, change) as behind,
    ):
        behind.session.headers.update(BEARER)
        async with open_viewer(behind.session, f"{behind.address}/api/jobs/a/stream") as viewer:
            await viewer.wait_for("job_sheets")
            conductor.complete_sheet("a", 1)
            await viewer.wait_for_status(completed_sheets=1)


async def test_stream_resumes_after_nginx_reload_and_server_restart(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    (tmp_path / "ws").mkdir()
    conductor.launch("a", 2, workspace=str(tmp_path / "ws"))
    log = tmp_path / "ws" / "marianne.log"
    log.write_text("line 0\n")
    async with run_behind_nginx(tmp_path) as behind:
        behind.session.headers.update(BEARER)
        url = f"{behind.address}/api/jobs/a/logs"
        lines = []
        async with (
            run_process(*service_args(tmp_path)) as old,
            open_viewer(behind.session, url) as viewer,
        ):
            await viewer.wait_for("log")
            behind.nginx.reload()
            await asyncio.sleep(0.3)
            append_lines(log, "line 1")
            await viewer.wait_for("log", 2)
            await end(old)
            await viewer.wait_ended()
            lines += [data["line"] for data in viewer.event_data("log")]
            assert viewer.retry_ms is not None
        append_lines(log, "line 2")
        await check_unavailable_responses(behind)
        async with (
            run_process(*service_args(tmp_path)),
            open_viewer(behind.session, url, last_event_id=viewer.last_event_id) as viewer,
        ):
            await viewer.wait_for("log")
            lines += [data["line"] for data in viewer.event_data("log")]
    assert lines == ["line 0", "line 1", "line 2"]


async def end(running: ManagedProcess) -> None:
    running.send_signal(signal.SIGTERM)
    assert await running.wait() == 0


async def test_auth_request_service_decides_first(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    """Enable the commented lines of the example, as it describes."""
    conductor.launch("a", 1)
    text = (EXAMPLES / "nginx.conf").read_text()
    start = text.index("    # location = /auth {")
    block = text[start : text.index("    # }\n", start) + len("    # }\n")]
    port = free_port()
    asking = block.replace("    # ", "    ").replace("127.0.0.1:9000", f"127.0.0.1:{port}")
    changes = ((block, asking), ("# auth_request", "auth_request"))
    async with (
        run_process(*service_args(tmp_path)),
        run_behind_nginx(tmp_path, *changes) as behind,
    ):
        url = f"{behind.address}/api/jobs/a"
        behind.session.headers.update(BEARER)
        async with run_auth_service(port):
            for who, status in (("somebody", 200), ("", 401)):
                async with behind.session.get(url, headers={"X-Who": who}) as response:
                    assert response.status == status
            async with behind.session.get(url, headers={"X-Who": "a", "Authorization": ""}) as page:
                assert (page.status, (await page.json())["code"]) == (401, "unauthenticated")
        # The service is stopped.
        async with behind.session.get(url) as response:
            assert response.status == 503
        async with open_viewer(behind.session, f"{url}/stream") as viewer:
            await viewer.wait_ended()
            assert (viewer.response.status, viewer.event_names) == (200, [])


@asynccontextmanager
async def run_auth_service(port: int) -> AsyncIterator[None]:
    """Run a service that accepts requests with a name."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=204 if request.headers.get("X-Who") else 401)

    async with run_stub(answer, port):
        yield


async def test_four_dashboard_paths_are_served_and_others_forwarded(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "marianne.log").write_text("a line\n")
    conductor.launch("a", 2, workspace=str(tmp_path / "ws"))
    async with run_dashboard_stub() as there, run_process(*service_args(tmp_path)):
        port = free_port()
        text = fill_example(
            "nginx-dashboard.conf",
            SOCKET=tmp_path / "http.sock",
            SERVER_NAME="localhost",
            LISTEN=f"127.0.0.1:{port}",
            TOKEN=TOKEN,
            DASHBOARD=there,
        )
        address = f"http://localhost:{port}"
        async with run_nginx(tmp_path / "nginx", text, port), aiohttp.ClientSession() as session:
            async with open_viewer(session, f"{address}/api/jobs/a/stream") as viewer:
                await viewer.wait_for("job_status")
            async with open_viewer(session, f"{address}/api/jobs/a/logs") as viewer:
                await viewer.wait_for("log")
            for path in ("logs/static", "logs/info"):
                async with session.get(f"{address}/api/jobs/a/{path}") as response:
                    assert response.headers["Server"] != "dashboard"
                    assert response.status == 200
                    assert "X-Request-ID" in response.headers
            for path in ("/", "/api/jobs", "/api/jobs/a", "/api/jobs/a/logs/raw", "/login"):
                async with session.get(f"{address}{path}") as response:
                    assert await response.text() == f"the dashboard's {path}"


async def test_dashboard_viewers_retry_while_the_server_is_stopped(
    tmp_path: Path,
) -> None:
    port = free_port()
    text = fill_example(
        "nginx-dashboard.conf",
        SOCKET=tmp_path / "http.sock",
        SERVER_NAME="localhost",
        LISTEN=f"127.0.0.1:{port}",
        TOKEN=TOKEN,
        DASHBOARD="http://127.0.0.1:1",
    )
    url = f"http://localhost:{port}/api/jobs/a"
    async with run_nginx(tmp_path / "nginx", text, port), aiohttp.ClientSession() as session:
        async with open_viewer(session, f"{url}/stream") as viewer:
            await viewer.wait_ended()
            assert viewer.response.status == 200
            assert 1500 <= (viewer.retry_ms or 0) <= 4500
        async with session.get(f"{url}/logs/info") as response:
            assert response.status == 503
            assert (await response.json())["code"] == "shutting_down"


@asynccontextmanager
async def run_dashboard_stub() -> AsyncIterator[str]:
    """Run a stub that answers with the requested path."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"the dashboard's {request.path}")

    port = free_port()
    async with run_stub(answer, port):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def run_stub(answer: Handler, port: int) -> AsyncIterator[None]:
    """Run a server that answers all requests like this."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", ["nginx.conf", "nginx-dashboard.conf", "nginx-edges.conf"])
def test_every_placeholder_is_known(name: str) -> None:
    values = {"SERVER_NAME": 1, "LISTEN": 1}
    more = {
        "nginx.conf": {"SOCKET": 1, "CERTIFICATE": 1, "CERTIFICATE_KEY": 1},
        "nginx-dashboard.conf": {"SOCKET": 1, "TOKEN": 1, "DASHBOARD": 1},
        "nginx-edges.conf": {"EDGE_1": 1, "EDGE_2": 1, "CERTIFICATE": 1, "CERTIFICATE_KEY": 1},
    }[name]
    assert not [w for w in fill_example(name, **values, **more).split("@")[1:-1] if w.isupper()]


async def test_prometheus_settings_of_the_guide_reach_the_server(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    guide = (EXAMPLES.parent / "how-to" / "watch-the-server.md").read_text()
    behind_nginx = re.search(r"```yaml\n(.*?)```", guide, re.DOTALL)
    assert behind_nginx
    (scrape,) = yaml.safe_load(behind_nginx[1])["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [SITE_NAME]}]
    assert "credentials_file" in scrape["authorization"]
    async with run_process(*service_args(tmp_path)), run_behind_nginx(tmp_path) as behind:
        assert behind.address.startswith(f"{scrape['scheme']}://{SITE_NAME}:")
        url = f"{behind.address}/metrics"
        async with behind.session.get(url) as answer:
            assert answer.status == 401
        async with behind.session.get(url, headers=BEARER) as answer:
            assert answer.status == 200
            assert "marianne_stream_build_info" in await answer.text()
