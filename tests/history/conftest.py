"""A recorder without a server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from marianne_stream.history import database_thread
from tests.support.recording import Recording


@pytest.fixture
async def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recording]:
    """Yield a recorder that waits for a lock for a short time."""
    monkeypatch.setattr(database_thread, "BUSY_TIMEOUT_S", 0.05)
    recording = Recording(tmp_path / "history.db")
    yield recording
    await recording.recorder.close()
