"""A missing log is distinguished from an empty one, over HTTP and in a terminal."""

import json
import time
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.checkpoint_fields import make_checkpoint
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.processes import ManagedProcess, run_process
from tests.support.terminals import run_command, start_command
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_for_value, wait_until

WHOLE, NARROW = "whole-token-0123456789", "narrow-token-0123456789"

NOWHERE = (
    "This job has no log. Looked for {0}/marianne.log, {0}/logs/marianne.log. To get one, have the "
    "job write {{workspace}}/marianne.log, or set log_file in the conductor's configuration."
)
IN_WORDS = NOWHERE.format("{workspace}")


@pytest.fixture
async def workspace(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """Return the workspace of the running job `silent`, which writes no log."""
    (workspace := tmp_path / "ws").mkdir()
    conductor.launch("silent", 1, workspace=str(workspace))
    return workspace


async def fetch(address: str, path: str, token: str = "") -> tuple[int, dict[str, str]]:
    """Return the status and the body of a response."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{address}{path}", headers=headers) as answer,
    ):
        return answer.status, await answer.json()


@pytest.mark.parametrize("path", ["logs", "logs/info", "logs/lines", "logs/raw", "logs/static"])
async def test_missing_log_response_names_paths_only_to_unrestricted_tokens(
    workspace: Path, tmp_path: Path, path: str
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{WHOLE}\n{NARROW} silent\n")
    tokens.chmod(0o600)
    async with run_process(
        *("-m", "marianne_stream", "--port", 0, "--token-file", tokens),
        *("--conductor-socket", tmp_path / "c.sock", "--registry-path", tmp_path / "state.db"),
        *("--data-dir", tmp_path / "private"),
    ) as running:
        whole = await fetch(running.address, f"/api/jobs/silent/{path}", WHOLE)
        narrow = await fetch(running.address, f"/api/jobs/silent/{path}", NARROW)
    assert whole == (404, {"detail": NOWHERE.format(workspace), "code": "log_not_found"})
    assert narrow == (404, {"detail": IN_WORDS, "code": "log_not_found"})


@pytest.mark.usefixtures("workspace")
async def test_missing_conductor_log_is_named(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.daemon.log_file = str(tmp_path / "gone.log")
    _, told = await fetch(server.address, "/api/jobs/silent/logs")
    assert f"{tmp_path}/gone.log. To get one, have the job write {{workspace}}" in told["detail"]
    assert "set log_file" not in told["detail"]
    _, told = await fetch(server.address, "/api/jobs/silent/logs?source=job")
    assert "gone.log" not in told["detail"]


async def test_waiting_stream_reports_the_missing_log(
    workspace: Path, server: ManagedProcess
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        open_viewer(session, f"{server.address}/api/jobs/silent/logs", wait="true") as viewer,
    ):
        await wait_until(lambda: viewer.event_names == ["log_missing"])
        assert viewer.event_data("log_missing") == [{"detail": NOWHERE.format(workspace)}]
        (workspace / "marianne.log").write_text("one\n")
        await wait_until(lambda: viewer.event_names == ["log_missing", "log"])


async def test_logs_without_a_log_exits_6(
    workspace: Path, server: ManagedProcess, tmp_path: Path
) -> None:
    ended = await run_command(tmp_path, "logs", "silent", "--url", server.address)
    sentence = NOWHERE.format(workspace).rstrip(".")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (
        6,
        "",
        f"marianne-stream: {sentence}\n",
    )
    unknown = await run_command(tmp_path, "logs", "unknown", "--url", server.address)
    assert (unknown.exit_code, unknown.stdout) == (3, "")
    assert "not found: unknown" in unknown.stderr


async def test_follow_of_a_job_that_ends_without_a_log_exits_6(
    conductor: SimulatedConductor, workspace: Path, server: ManagedProcess, tmp_path: Path
) -> None:
    async with start_command(
        tmp_path, "logs", "silent", "-f", "--url", server.address
    ) as following:
        await wait_until(lambda: following.stderr)
        conductor.finish("silent", "completed")
        ended = await following.wait()
    assert (ended.exit_code, ended.stdout) == (6, "")
    assert ended.stderr == f"marianne-stream: {NOWHERE.format(workspace)}\n"
    late = await run_command(tmp_path, "logs", "silent", "-f", "--json", "--url", server.address)
    assert late.exit_code == 6
    events = [json.loads(line) for line in late.lines]
    assert [event["event"] for event in events] == ["log_missing", "log_complete"]
    assert events[-1]["data"]["missing"] is True


async def test_follow_of_an_empty_log_exits_0(
    conductor: SimulatedConductor, workspace: Path, server: ManagedProcess, tmp_path: Path
) -> None:
    async with start_command(
        tmp_path, "logs", "silent", "-f", "--url", server.address
    ) as following:
        await wait_until(lambda: "no log" in following.stderr)
        (workspace / "marianne.log").touch()
        conductor.finish("silent", "completed")
        ended = await following.wait()
    assert (ended.exit_code, ended.stdout) == (0, "")


async def test_log_of_a_restarted_job_is_found_with_its_first_checkpoint(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    (before := tmp_path / "before").mkdir()
    (now := tmp_path / "now").mkdir()
    (now / "marianne.log").write_text("the second run\n")
    conductor.launch("again", 1, workspace=str(before))
    conductor.finish("again")
    # The roster reports a running job while the checkpoint is still of the first run.
    job = conductor.submit("again", 1, workspace=str(before))
    conductor.set_status("again", roster="running")
    status, _ = await fetch(server.address, "/api/jobs/again/logs/info")
    assert status == 404
    roster = job.roster_entry()
    job.checkpoint = make_checkpoint("again", sheets=1, now_s=time.time())
    job.checkpoint["worktree_path"] = str(now)
    assert job.roster_entry() == roster
    info = partial(fetch, server.address, "/api/jobs/again/logs/info")
    await wait_for_value(info, lambda answer: answer[0] == 200)
