"""Fixtures: a headless browser, a server in its own process, and a simulated conductor."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser, connect_browser, open_browser_user, run_chromium
from tests.support.processes import ManagedProcess, run_server

# A busy machine renders late; benchmarks measure how late.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def browser_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Headless Chromium for all tests; they are skipped if it is not installed."""
    with run_chromium(tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
async def browser(browser_address: str) -> AsyncIterator[Browser]:
    """Connection of this test to the browser."""
    async with connect_browser(browser_address) as browser:
        yield browser


@pytest.fixture
async def server(conductor: SimulatedConductor, tmp_path: Path) -> AsyncIterator[ManagedProcess]:
    """Server without authentication, with a running conductor."""
    del conductor
    async with run_server(tmp_path) as running:
        yield running


@pytest.fixture
async def user(
    browser: Browser, server: ManagedProcess, request: pytest.FixtureRequest
) -> AsyncIterator[BrowserUser]:
    """Browser context for the server."""
    async with open_browser_user(browser, server.address, request.node.name) as someone:
        yield someone


@pytest.fixture
async def log_path(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """Path of the log of the running job `lantern`; the file does not exist yet."""
    workspace = tmp_path / "ws"
    workspace.mkdir()
    conductor.launch("lantern", 4, workspace=str(workspace))
    return workspace / "marianne.log"


@pytest.fixture
async def other_log_path(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """Path of the log of the running job `tide`; the file does not exist yet."""
    workspace = tmp_path / "other"
    workspace.mkdir()
    conductor.launch("tide", 2, workspace=str(workspace))
    return workspace / "marianne.log"
