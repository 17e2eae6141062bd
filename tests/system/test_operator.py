"""The guide and the examples, followed as a new operator would, lead to a page."""

import contextlib
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.nginx_server import EXAMPLES, fill_example, run_behind_nginx
from tests.support.processes import CHECKOUT
from tests.support.server_restart import run_with_socket
from tests.support.systemd_units import parse_command
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until

GUIDE = EXAMPLES.parent / "how-to" / "run-it-as-a-service.md"
TOKEN = "whole-token-0123456789"


@pytest.fixture
def guide_file(tmp_path: Path) -> Path:
    """Return the settings of the guide with the paths of this conductor."""
    found = re.search(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found
    text, count = re.subn(r'"/\S+/daemon-state.db"', f'"{tmp_path}/state.db"', found[1])
    assert count == 1
    path = tmp_path / "marianne-stream.toml"
    path.write_text(f'conductor_socket = "{tmp_path}/c.sock"\n{text}')
    return path


@pytest.fixture
def unit_socket(tmp_path: Path) -> Iterator[socket.socket]:
    """Open the socket of the socket unit, which nginx connects to."""
    name = re.search(
        r"^ListenStream=.*/(.*)$", (EXAMPLES / "marianne-stream.socket").read_text(), re.MULTILINE
    )
    assert name
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(tmp_path / name[1]))
        sock.listen(4096)
        yield sock


def command(guide_file: Path, beginning: str) -> list[str]:
    """Return the command of the service unit, for this checkout."""
    text = fill_example(
        "marianne-stream.service",
        PYTHON=sys.executable,
        CONFIG=guide_file,
        CHECKOUT=CHECKOUT,
        USER="root",
        SOCKET_GROUP="root",
    )
    return parse_command(text, beginning)


@pytest.mark.parametrize("beginning", ["ExecStart=", "# ExecStart="], ids=["module", "checkout"])
async def test_guide_and_examples_lead_to_a_login_page_behind_tls(
    tmp_path: Path,
    conductor: SimulatedConductor,
    guide_file: Path,
    unit_socket: socket.socket,
    beginning: str,
) -> None:
    conductor.launch("a", 1)
    (credentials := tmp_path / "credentials").mkdir()
    (credentials / "tokens").write_text(f"{TOKEN}\n")
    environment = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "STATE_DIRECTORY": str(tmp_path / "state"),
    }
    async with (
        run_with_socket(unit_socket, *command(guide_file, beginning), **environment) as running,
        run_behind_nginx(tmp_path) as behind,
    ):
        session, address = behind.session, behind.address
        async with session.get(f"{address}/", headers={"Accept": "text/html"}) as page:
            assert page.url.path == "/login"
        origin = {"Origin": address}
        for token, status in (("wrong-token-0123456789", 401), (TOKEN, 200)):
            form = {"token": token, "next": "/jobs/a"}
            async with session.post(f"{address}/login", data=form, headers=origin) as page:
                assert page.status == status
        assert "Sign out" in await fetch_text(session, f"{address}/")
        assert next(iter(session.cookie_jar))["secure"]
        async with open_viewer(session, f"{address}/api/jobs/a/stream") as viewer:
            await viewer.wait_for("job_status")
        # ExecReload sends this signal.
        running.send_signal(signal.SIGHUP)
        await wait_until(
            lambda: f"tokens reloaded source='{credentials}/tokens, as systemd" in running.log
        )
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
        assert (tmp_path / "state" / "sessions.db").exists()


async def fetch_text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as page:
        return await page.text()
