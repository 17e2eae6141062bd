"""Shells complete verbs, options and jobs, at a key."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from marianne_stream.demo.conductor import SimulatedConductor
from tests.support.external import program
from tests.support.processes import CHECKOUT, Process
from tests.support.terminals import ran, terminal


@pytest.fixture
def in_path(tmp_path: Path) -> str:
    """A PATH that begins with a folder in which `marianne-stream` lies."""
    (folder := tmp_path / "bin").mkdir()
    script = folder / "marianne-stream"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {CHECKOUT}/run_server.py "$@"\n')
    script.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
async def test_a_shell_completes_verbs_and_jobs_at_a_key(
    conductor: SimulatedConductor, running: Process, tmp_path: Path, in_path: str, shell: str
) -> None:
    conductor.launch("tide-tables", 1)
    conductor.launch("paper-boats", 1)
    quiet = {"bash": ("--norc", "--noprofile", "-i"), "zsh": ("-f", "-i")}[shell]
    variables = {"PATH": in_path, "MARIANNE_STREAM_URL": running.address, "HOME": str(tmp_path)}
    async with terminal(
        tmp_path, *quiet, columns=200, program=program(shell), **variables
    ) as screen:
        if shell == "zsh":
            screen.press("autoload -Uz compinit; compinit -u -D\n")
        screen.press(f'eval "$(marianne-stream completion {shell})"; echo rea""dy\n')
        await screen.saw("ready\r\n")
        screen.press("marianne-stream wat\t")
        await screen.saw("stream watch")
        screen.press("ti\t")
        await screen.saw("tide-tables")
    assert "paper-boats" not in screen.text


async def test_fish_completes_verbs_and_jobs(
    conductor: SimulatedConductor, running: Process, tmp_path: Path, in_path: str
) -> None:
    conductor.launch("tide-tables", 1)
    asked = "marianne-stream completion fish | source; complete -C'marianne-stream watch '"
    shell = await asyncio.create_subprocess_exec(
        *(program("fish"), "-c", asked),
        env={"PATH": in_path, "MARIANNE_STREAM_URL": running.address, "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await shell.communicate()
    assert output.decode().split() == ["tide-tables"]


async def test_a_server_that_does_not_answer_in_time_completes_nothing(tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        line = "marianne-stream watch "
        ended = await ran(
            tmp_path,
            _ARGCOMPLETE="1",
            _ARGCOMPLETE_STDOUT_FILENAME=str(answers),
            COMP_LINE=line,
            COMP_POINT=str(len(line)),
            MARIANNE_STREAM_URL=url,
        )
    assert (ended.code, ended.out) == (0, "")
    assert answers.read_text().strip() == ""
