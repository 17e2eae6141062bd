"""Tests of commands whose output is not read to its end, as in `completion bash | head -1`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.terminals import CHECKOUT, TIMEOUT_S, make_environment


def run_with_closed_output(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run a command whose output is a pipe without a reader; return exit code and error output."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "marianne_stream", *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=make_environment(folder, **variables),
            cwd=CHECKOUT,
            timeout=TIMEOUT_S,
            check=False,
            text=True,
        )
    finally:
        os.close(writer)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [
        *(("--help",), ("completion", "bash"), ("completion", "zsh"), ("completion", "fish")),
        *(("token",), ("check", "--no-auth")),
    ],
    ids=" ".join,
)
def test_closed_pipe_ends_a_command_quietly(
    tmp_path: Path, arguments: tuple[str, ...], unbuffered: str
) -> None:
    ended = run_with_closed_output(tmp_path, *arguments, PYTHONUNBUFFERED=unbuffered)
    assert ended == (141, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["--version", "serve --help", "jobs --help"])
def test_closed_pipe_ends_the_help_of_a_command_quietly(
    tmp_path: Path, arguments: str, unbuffered: str
) -> None:
    ended = run_with_closed_output(tmp_path, *arguments.split(), PYTHONUNBUFFERED=unbuffered)
    # argparse ignores that its own output could not be written.
    assert ended in ((0, ""), (141, ""))


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_server_that_cannot_print_its_address_ends_without_a_traceback(
    tmp_path: Path, command: str
) -> None:
    exit_code, messages = run_with_closed_output(tmp_path, command, "--port", "0")
    assert exit_code == 141
    assert "Traceback" not in messages
