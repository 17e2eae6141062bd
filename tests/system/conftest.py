"""What tests with a server as a process share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from marianne_stream.demo.conductor import SimulatedConductor
from tests.support.cutting import Wire, wire_to
from tests.support.processes import Process, server


@pytest.fixture
async def running(conductor: SimulatedConductor, tmp_path: Path) -> AsyncIterator[Process]:
    """A server that asks the conductor."""
    async with server(tmp_path) as running:
        yield running


@pytest.fixture
async def wire(running: Process) -> AsyncIterator[Wire]:
    """A wire to that server, which can be cut."""
    async with wire_to(running.address) as wire:
        yield wire


@pytest.fixture
async def log(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """The log of a job `logged`, which runs."""
    (workspace := tmp_path / "ws").mkdir()
    (log := workspace / "marianne.log").touch()
    conductor.launch("logged", 2, workspace=str(workspace))
    return log
