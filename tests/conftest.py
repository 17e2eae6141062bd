"""Markers and fixtures of all tests."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor

RECORDINGS = Path(__file__).parents[1].parent / "shared" / "recordings"

# The marker of all tests in a directory or module of tests/.
MARKERS = {
    "page": "browser",
    "relay": "redis",
    "system": "system",
    "test_tutorial.py": "system",
    "web/test_altered_cursors.py": "slow",
    "web/test_slow_clients.py": "slow",
}


def pytest_xdist_auto_num_workers() -> int:
    """Return the workers of `-n auto`: two for each core, since tests wait half of their time."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Let the servers of all tests keep their data in a directory that is removed."""
    state = TemporaryDirectory(prefix="marianne-stream-tests-")
    os.environ["XDG_STATE_HOME"] = state.name
    config.add_cleanup(state.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its directory or module."""
    for item in items:
        path = item.path.relative_to(Path(__file__).parent)
        for part in (path, *path.parents):
            if marker := MARKERS.get(part.as_posix()):
                item.add_marker(marker)


@pytest.fixture
async def conductor(tmp_path: Path) -> AsyncIterator[SimulatedConductor]:
    """Run a conductor that stops without a grace period."""
    conductor = SimulatedConductor(
        tmp_path / "c.sock", registry=tmp_path / "state.db", shutdown_grace_s=0
    )
    await conductor.start()
    yield conductor
    await conductor.kill()


@pytest.fixture
def recordings() -> Path:
    """Return the directory of recorded traffic; skip the test if it is missing."""
    if not RECORDINGS.is_dir():
        pytest.skip("no recordings: shared/recordings is not beside the checkout")
    return RECORDINGS
