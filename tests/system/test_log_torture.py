"""Every viewer gets every line of a log once and in order, through rotations and restarts."""

from pathlib import Path

import pytest

from tests.support.log_torture import run_log_torture

# `python -m benchmarks torture` runs the same with more lines.
LINES = 50_000
SEED = 7

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("address", ["logs", "file-stream/marianne.log"])
async def test_viewer_gets_every_line_once_and_in_order(tmp_path: Path, address: str) -> None:
    outcome = await run_log_torture(tmp_path, line_count=LINES, seed=SEED, address=address)
    assert set(outcome.rotations) == {"gzip", "rename", "copytruncate"}
    assert outcome.kills >= 1
    for viewer in outcome.viewers:
        assert viewer.sequence_errors == []
        assert viewer.last_line_number == LINES
        assert viewer.reconnects > 1
    assert "Traceback" not in "".join(outcome.server_logs)
