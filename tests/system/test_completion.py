"""Shell completion of commands, options and job ids."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from marianne_stream.cli.commands import COMMANDS
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.external import require_program
from tests.support.processes import CHECKOUT, ManagedProcess
from tests.support.terminals import open_terminal, run_command


@pytest.fixture
def bin_path(tmp_path: Path) -> str:
    """Return a PATH that begins with a directory that has `marianne-stream`."""
    (folder := tmp_path / "bin").mkdir()
    script = folder / "marianne-stream"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {CHECKOUT}/run_server.py "$@"\n')
    script.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
async def test_tab_completes_commands_and_jobs(
    conductor: SimulatedConductor,
    server: ManagedProcess,
    tmp_path: Path,
    bin_path: str,
    shell: str,
) -> None:
    conductor.launch("tide-tables", 1)
    conductor.launch("paper-boats", 1)
    quiet = {"bash": ("--norc", "--noprofile", "-i"), "zsh": ("-f", "-i")}[shell]
    variables = {
        "PATH": bin_path,
        "MARIANNE_STREAM_URL": server.address,
        "HOME": str(tmp_path),
    }
    async with open_terminal(
        tmp_path, *quiet, columns=200, program=require_program(shell), **variables
    ) as screen:
        if shell == "zsh":
            screen.send_keys("autoload -Uz compinit; compinit -u -D\n")
        screen.send_keys(f'eval "$(marianne-stream completion {shell})"; echo rea""dy\n')
        await screen.wait_for_text("ready\r\n")
        screen.send_keys("marianne-stream wat\t")
        await screen.wait_for_text("stream watch")
        screen.send_keys("ti\t")
        await screen.wait_for_text("tide-tables")
    assert "paper-boats" not in screen.text


async def complete_in_fish(line: str, bin_path: str, **variables: str) -> list[str]:
    """Return the words that fish offers at the end of a line."""
    asked = f"marianne-stream completion fish | source; complete -C'{line}'"
    shell = await asyncio.create_subprocess_exec(
        *(require_program("fish"), "-c", asked),
        env={"PATH": bin_path, **variables},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await shell.communicate()
    return [line.split("\t")[0] for line in output.decode().splitlines()]


@pytest.mark.parametrize("verb", ["watch", "show", "runs", "logs", "files", "events"])
async def test_fish_completes_jobs(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path, bin_path: str, verb: str
) -> None:
    conductor.launch("tide-tables", 1)
    variables = {"MARIANNE_STREAM_URL": server.address, "HOME": str(tmp_path)}
    words = await complete_in_fish(f"marianne-stream {verb} ", bin_path, **variables)
    assert words == ["tide-tables"]


async def test_fish_completes_commands_and_options(tmp_path: Path, bin_path: str) -> None:
    commands = await complete_in_fish("marianne-stream ", bin_path, HOME=str(tmp_path))
    assert set(COMMANDS) <= set(commands)
    options = await complete_in_fish("marianne-stream show --s", bin_path, HOME=str(tmp_path))
    assert options == ["--sheet"]


async def complete(tmp_path: Path, line: str, **variables: str) -> list[str]:
    """Return the completions of a command line."""
    answers = tmp_path / "answers"
    ended = await run_command(
        tmp_path,
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_STDOUT_FILENAME=str(answers),
        _ARGCOMPLETE_IFS="\n",
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
        **variables,
    )
    assert (ended.exit_code, ended.stdout) == (0, "")
    return [each.strip() for each in answers.read_text().split("\n") if each.strip()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("conductor --", {"--json", "--color", "--url", "--token-file", "--retry-timeout"}),
        ("runs nightly --li", {"--limit"}),
        ("events --group ", {"job", "files", "processes", "all"}),
        ("logs nightly --level ", {"debug", "info", "warning", "error", "critical"}),
        ("logs nightly --since", {"--since", "--since-cursor"}),
    ],
)
async def test_options_and_values_are_completed(
    tmp_path: Path, line: str, expected: set[str]
) -> None:
    assert expected <= set(await complete(tmp_path, f"marianne-stream {line}"))


async def test_actions_and_names_of_tokens_are_completed(tmp_path: Path) -> None:
    (tokens := tmp_path / "tokens").write_text("secret-0123456789 name=night\n")
    tokens.chmod(0o600)
    line = "marianne-stream token "
    assert {"add", "list", "revoke"} <= set(await complete(tmp_path, line))
    revoke = f"{line}revoke --token-file {tokens} "
    assert "night" in await complete(tmp_path, revoke)
    tokens.chmod(0o644)
    assert "night" not in await complete(tmp_path, revoke)
    assert "--rights" in await complete(tmp_path, f"{line}add bob --")


async def test_slow_server_completes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert await complete(tmp_path, "marianne-stream watch ", MARIANNE_STREAM_URL=url) == []
