"""Every viewer of an edge gets every line once and in order, whichever process is killed."""

from pathlib import Path

import pytest

from tests.support.relay_torture import run_relay_torture

LINES = 25_000
SEED = 7

pytestmark = pytest.mark.slow


async def test_edge_viewer_gets_every_line_once_and_in_order(tmp_path: Path) -> None:
    print(f"data, logs and events are kept in {tmp_path}")  # noqa: T201
    outcome = await run_relay_torture(tmp_path, line_count=LINES, seed=SEED)
    assert len(outcome.kills) == len(("relay", "edge", "edge", "redis"))
    assert [viewer.sequence_errors for viewer in outcome.viewers] == [[] for _ in outcome.viewers]
    for viewer in outcome.viewers:
        assert viewer.last_line_number == LINES
        assert viewer.reconnects > 1
    assert "Traceback" not in "".join(outcome.server_logs)
