"""Fixtures for servers that run as processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.faulty_proxy import FaultyProxy, run_faulty_proxy
from tests.support.processes import ManagedProcess, run_server


@pytest.fixture
async def server(conductor: SimulatedConductor, tmp_path: Path) -> AsyncIterator[ManagedProcess]:
    """Run a server on the conductor."""
    async with run_server(tmp_path) as running:
        yield running


@pytest.fixture
async def proxy(server: ManagedProcess) -> AsyncIterator[FaultyProxy]:
    """Run a proxy to the server whose connections can be cut."""
    async with run_faulty_proxy(server.address) as wire:
        yield wire


@pytest.fixture
async def log_path(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """Launch the job `logged` and return the path of its empty log."""
    (workspace := tmp_path / "ws").mkdir()
    (log := workspace / "marianne.log").touch()
    conductor.launch("logged", 2, workspace=str(workspace))
    return log
