"""What all tests share: a simulated conductor, and the recordings of a real one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor

RECORDINGS = Path(__file__).parents[1].parent / "shared" / "recordings"


@pytest.fixture
async def conductor(tmp_path: Path) -> AsyncIterator[SimulatedConductor]:
    """A running conductor that stops without a grace period."""
    conductor = SimulatedConductor(
        tmp_path / "c.sock", registry=tmp_path / "state.db", shutdown_grace_s=0
    )
    await conductor.start()
    yield conductor
    await conductor.kill()


@pytest.fixture
def recordings() -> Path:
    """The folder of recorded traffic; a test that needs it skips where it is missing."""
    if not RECORDINGS.is_dir():
        pytest.skip("no recordings: shared/recordings is not beside the checkout")
    return RECORDINGS
