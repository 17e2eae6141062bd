"""Server in this process that reads a simulated conductor, and viewers of it."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.server.sockets import open_tcp_sockets
from tests.support.viewers import Viewer, open_viewer

Client = TestClient[web.Request, web.Application]
OpenStream = Callable[..., AbstractAsyncContextManager[Viewer]]

WHOLE, NARROW = "whole-token-0123456789", "narrow-token-0123456789"
BEARER = {"Authorization": f"Bearer {WHOLE}"}
NARROWED = {"Authorization": f"Bearer {NARROW}"}

Start = Callable[..., Awaitable[Client]]


async def read_error_code(response: aiohttp.ClientResponse) -> tuple[int, str]:
    """Return status and error code of a response."""
    return response.status, (await response.json())["code"]


async def post_login(client: Client, **headers: str) -> aiohttp.ClientResponse:
    """Send the form of the login page."""
    origin = str(client.make_url("/")).rstrip("/")
    return await client.post(
        "/login",
        data={"token": WHOLE, "next": "/jobs/a"},
        headers={"Origin": origin, **headers},
        allow_redirects=False,
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings with the conductor and registry of the test, and without a history."""
    return Settings(
        conductor_socket=tmp_path / "c.sock",
        registry_path=tmp_path / "state.db",
        no_auth=True,
        history="none",
    )


@pytest.fixture
async def client(settings: Settings, aiohttp_client: Callable[..., Awaitable[Client]]) -> Client:
    """Return a client of a server with these settings; the conductor may be absent."""
    return await aiohttp_client(
        create_app(settings), server_kwargs={"socket_factory": make_listening_socket}
    )


def make_listening_socket(host: str, port: int, _family: socket.AddressFamily) -> socket.socket:
    """Listen with the server's own socket options."""
    return open_tcp_sockets([host], port)[0]


@pytest.fixture
def open_stream(conductor: SimulatedConductor, client: Client) -> OpenStream:
    """Return a function that opens a stream of a server whose conductor runs."""
    del conductor

    def watch(path: str, **options: Any) -> AbstractAsyncContextManager[Viewer]:
        return open_viewer(client.session, str(client.make_url(path)), **options)

    return watch


@pytest.fixture
async def log_path(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """Return the path of the log of a running job; the file does not exist yet."""
    workspace = tmp_path / "ws"
    workspace.mkdir()
    conductor.launch("lantern", 2, workspace=str(workspace))
    return workspace / "marianne.log"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"{WHOLE}\n{NARROW} nightly-*\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def start(
    settings: Settings, token_file: Path, tmp_path: Path, aiohttp_client: Start
) -> Callable[..., Awaitable[Client]]:
    """Return a function that starts a server that requires a token."""
    guarded = {"no_auth": False, "token_file": token_file, "data_dir": tmp_path}

    async def start(**update: object) -> Client:
        return await aiohttp_client(
            create_app(settings.model_copy(update={**guarded, **update})),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    return start
