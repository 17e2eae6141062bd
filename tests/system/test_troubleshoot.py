"""The troubleshooting page: its commands do what it says, and the names in it exist."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest

from marianne_stream.cli.commands import COMMANDS
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.logs.log_reader import LogGapReason
from marianne_stream.schemas.event_schemas import GapReason
from tests.support.error_classes import error_classes
from tests.support.external import require_program
from tests.support.processes import CHECKOUT, ManagedProcess, run_process
from tests.support.terminals import CompletedCommand, make_environment

PAGE = (CHECKOUT / "docs" / "how-to" / "troubleshoot.md").read_text(encoding="utf-8")
DOCUMENTED_COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]

# The output and the exit code of each command of the page.
EXPECTED = {
    "marianne-stream check": (0, "ok       conductor: "),
    "curl -s http://127.0.0.1:8765/health": (0, '"status"'),
    'curl -s -H "Authorization: Bearer $(marianne-stream token)" http://127.0.0.1:8765/ready': (
        *(0, '"live":true'),
    ),
    "marianne-stream jobs": (0, "silent"),
    "marianne-stream logs JOB": (6, "This job has no log. Looked for "),
    "marianne-stream token": (0, "own-token-0123456789"),
    (
        'curl -s -N --max-time 20 -H "Authorization: Bearer $(marianne-stream token)" '
        "http://127.0.0.1:8765/api/roster/stream"
    ): (28, "event: roster"),
}


@pytest.fixture
async def running(conductor: SimulatedConductor, tmp_path: Path) -> AsyncIterator[ManagedProcess]:
    """Run a server with a generated token and a job without a log."""
    (workspace := tmp_path / "ws").mkdir()
    conductor.launch("silent", 1, workspace=str(workspace))
    (private := tmp_path / "marianne-stream").mkdir()
    token = private / "token"
    token.write_text("own-token-0123456789\n")
    token.chmod(0o600)
    async with run_process(
        *("-m", "marianne_stream", "--port", 0, "--data-dir", private),
        *("--conductor-socket", tmp_path / "c.sock", "--registry-path", tmp_path / "state.db"),
    ) as running:
        yield running


async def run_in_shell(command: str, running: ManagedProcess, folder: Path) -> CompletedCommand:
    """Run a command of the page in a shell that finds this server."""
    here = command.replace("http://127.0.0.1:8765", running.address).replace(" JOB", " silent")
    here = here.replace("--max-time 20", "--max-time 2")
    ours = make_environment(
        folder,
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        MARIANNE_STREAM_URL=running.address,
        MARIANNE_STREAM_CONDUCTOR_SOCKET=str(folder / "c.sock"),
        MARIANNE_STREAM_REGISTRY_PATH=str(folder / "state.db"),
    )
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-c", here),
        env=ours,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await shell.communicate()
    return CompletedCommand(shell.returncode or 0, out.decode(), errors.decode())


@pytest.mark.parametrize("command", DOCUMENTED_COMMANDS)
async def test_command_of_the_page_does_what_the_page_says(
    running: ManagedProcess, tmp_path: Path, command: str
) -> None:
    if command.startswith("curl"):
        require_program("curl")
    code, text = EXPECTED[command]
    ended = await run_in_shell(command, running, tmp_path)
    assert ended.exit_code == code, ended
    assert text in ended.stdout + ended.stderr


def test_names_of_the_page_exist() -> None:
    codes = {error.code for error in error_classes()}
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", PAGE))
    reference = (CHECKOUT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    metrics = set(re.findall(r"`(marianne_stream_\w+)`", reference))
    reasons = {*get_args(GapReason), *get_args(LogGapReason)}
    # A key of the conductor, an event, and the code of an address that does not exist.
    others = {"log_file", "log_gap", "not_found"}
    assert words - codes - metrics - reasons - set(Settings.model_fields) - others == set()
    named = set(re.findall(r"marianne-stream ([a-z]+)", PAGE))
    assert named <= set(COMMANDS)
