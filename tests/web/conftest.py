"""A server in this process that asks a simulated conductor, and viewers of it."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.server.sockets import open_tcp_socket
from tests.support.viewers import Viewer, open_viewer

Client = TestClient[web.Request, web.Application]
OpenStream = Callable[..., AbstractAsyncContextManager[Viewer]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that look for the conductor and its registry where the tests have them."""
    return Settings(
        conductor_socket=tmp_path / "c.sock", registry_path=tmp_path / "state.db", no_auth=True
    )


@pytest.fixture
async def client(settings: Settings, aiohttp_client: Callable[..., Awaitable[Client]]) -> Client:
    """A client of a server with these settings; the conductor need not be there."""
    return await aiohttp_client(
        create_app(settings), server_kwargs={"socket_factory": make_listening_socket}
    )


def make_listening_socket(host: str, port: int, _family: socket.AddressFamily) -> socket.socket:
    """Listens as the server does, whose connections are not as the system has them by itself."""
    return open_tcp_socket(host, port)


@pytest.fixture
def open_stream(conductor: SimulatedConductor, client: Client) -> OpenStream:
    """Opens a stream of a path, of a server whose conductor runs."""
    del conductor

    def watch(path: str, **options: Any) -> AbstractAsyncContextManager[Viewer]:
        return open_viewer(client.session, str(client.make_url(path)), **options)

    return watch


@pytest.fixture
async def log_path(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """The log file of a running job; it is not there yet."""
    workspace = tmp_path / "ws"
    workspace.mkdir()
    conductor.launch("lantern", 2, workspace=str(workspace))
    return workspace / "marianne.log"
