"""Every viewer gets every line of a log once and in order, through rotations and restarts."""

from pathlib import Path

from tests.support.log_torture import run_log_torture

LINES = 100_000
SEED = 7


async def test_viewer_gets_every_line_once_and_in_order(tmp_path: Path) -> None:
    outcome = await run_log_torture(tmp_path, line_count=LINES, seed=SEED)
    assert set(outcome.rotations) == {"gzip", "rename", "copytruncate"}
    assert outcome.kills >= 1
    for viewer in outcome.viewers:
        assert viewer.sequence_errors == []
        assert viewer.last_line_number == LINES
        assert viewer.reconnects > 1
    assert "Traceback" not in "".join(outcome.server_logs)
