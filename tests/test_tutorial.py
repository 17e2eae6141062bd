"""The tutorial's commands do what it says; tests/page covers the browser."""

import asyncio
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.version import VERSION
from tests.support import tutorial
from tests.support.external import require_program, skip_or_fail
from tests.support.processes import CHECKOUT, ManagedProcess, run_process, run_server
from tests.support.terminals import make_environment
from tests.support.tutorial import Command, commands

LIMIT_S = 120.0

# Prints the exit code of the previous command and keeps `$?`.
MARK = "mark() { local code=$?; printf '\\n@@%d@@\\n' $code; return $code; }\n"

# The chapters whose snippets run in a browser, in tests/page/test_tutorial.py.
BROWSER_CHAPTERS = {"Look at the page", "Follow a job from JavaScript"}
DEMO_CHAPTERS = {
    "Use the terminal client",
    "Use the API",
    "Follow a job from Python",
    "Follow everything",
}
OTHER_CHAPTERS = {"Install", "Start the demo", "Resume a stream", "Next steps"}


@pytest.fixture
async def demo() -> AsyncIterator[ManagedProcess]:
    """Run the demo, faster than normal."""
    async with run_process("-m", "marianne_stream", "demo", "--port", 0, "--speed", 5) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory whose `.venv` is the environment of this test."""
    if not (Path(sys.prefix) / "bin" / "activate").exists():
        skip_or_fail("a virtual environment")
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / ".venv").symlink_to(sys.prefix)
    return tmp_path / "clone"


async def run_script(lines: list[str], folder: Path, **variables: str) -> list[tuple[int, str]]:
    """Run lines in one shell; return the exit code and the output of each."""
    script = MARK + "".join(f"{line}\nmark\n" for line in lines)
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        cwd=folder,
        env=make_environment(folder.parent, **variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT_S):
        output, errors = await shell.communicate()
    if b"No matching distribution found for setuptools" in errors:
        skip_or_fail("a package index")
    parts = re.split(r"\n@@(\d+)@@\n", output.decode())
    assert len(parts) == 2 * len(lines) + 1, (output, errors)
    return [(int(code), text) for text, code in zip(parts[::2], parts[1::2], strict=False)]


async def run_chapter(chapter: str, folder: Path, address: str) -> list[tuple[Command, int, str]]:
    """Run the commands of a chapter against a server and check the output."""
    found = commands(chapter)
    lines = [runnable(command.line, address) for command in found]
    for line in lines:
        if line.startswith("curl"):
            require_program("curl")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    results = await run_script(lines, folder, PATH=path, MARIANNE_STREAM_URL=address)
    ran = [(command, *result) for command, result in zip(found, results, strict=True)]
    for command, _, output in ran:
        assert_shown(command, output)
    return ran


def runnable(line: str, address: str) -> str:
    """Return a command for this server; the endless one ends after a job has started."""
    if "/api/events/stream" in line:
        line += r" | sed '/^event: job\.started/{n;q}'"
    return line.replace(tutorial.ADDRESS, address)


def assert_shown(command: Command, output: str) -> None:
    """Check an output against the page: the same fields of SSE and HTTP, the same JSON keys."""
    for line in command.shown.splitlines():
        if re.match(r"event: |retry: |HTTP/|\d+$", line):
            assert line in output, command
        elif line.startswith("JOB "):
            assert line.split() == output.splitlines()[0].split()
    shown, found = (set(re.findall(r'"(\w+)":', text)) for text in (command.shown, output))
    assert shown <= found, command
    if shown and ", …" not in command.shown:
        assert shown == found, command


def test_every_chapter_is_run() -> None:
    assert set(tutorial.chapters()) == BROWSER_CHAPTERS | DEMO_CHAPTERS | OTHER_CHAPTERS
    with_snippets = {name for name in tutorial.chapters() if tutorial.code_blocks(name, "js")}
    assert with_snippets <= BROWSER_CHAPTERS


async def test_install_puts_the_command_into_the_path(tmp_path: Path) -> None:
    (clone := tmp_path / "clone").mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "marianne_stream", clone / "marianne_stream", ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, clone)
    lines = [command.line for command in commands("Install")]
    # python3 and the dependencies are those of this test.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    dependencies = sysconfig.get_path("purelib")
    variables = {"PATH": path, "PIP_NO_DEPS": "1", "PYTHONPATH": dependencies}
    results = await run_script(
        [*lines, "command -v marianne-stream", "marianne-stream --version"], clone, **variables
    )
    assert [code for code, _ in results] == [0] * 5, results
    assert results[3][1].strip() == str(clone / ".venv" / "bin" / "marianne-stream")
    assert VERSION in results[4][1]


async def test_demo_starts_as_shown() -> None:
    (command,) = commands("Start the demo")
    name, *arguments = command.line.split()
    assert name == "marianne-stream"
    async with run_process("-m", "marianne_stream", *arguments, "--port", 0) as running:
        shown = command.shown.replace(tutorial.ADDRESS, running.address)
        assert running.first_line == shown


@pytest.mark.parametrize("chapter", ["Use the terminal client", "Use the API", "Follow everything"])
async def test_commands_against_the_demo_show_what_the_page_shows(
    demo: ManagedProcess, folder: Path, chapter: str
) -> None:
    for command, code, output in await run_chapter(chapter, folder, demo.address):
        assert code == 0, (command, output)


async def test_stream_ends_with_the_event_that_the_page_shows(
    demo: ManagedProcess, folder: Path
) -> None:
    ran = await run_chapter("Use the API", folder, demo.address)
    (ending,) = tutorial.code_blocks("Use the API", "text")
    event, data = ending.splitlines()[1:]
    assert ran[-1][2].rstrip().endswith(f"{event}\n{data}")


async def test_resumed_stream_does_not_repeat_the_state(
    conductor: SimulatedConductor, folder: Path, tmp_path: Path
) -> None:
    # The demo would start the job again.
    conductor.launch("lantern-festival", 2)
    conductor.complete_sheet("lantern-festival", 1)
    conductor.fail_sheet("lantern-festival", 2)
    conductor.finish("lantern-festival", "failed")
    async with run_server(tmp_path) as running:
        ran = await run_chapter("Resume a stream", folder, running.address)
    assert all(code == 0 for _, code, _ in ran)
    whole, _, resumed, _, finished = (output for *_, output in ran)
    assert "event: job_sheets" in whole
    assert re.findall(r"^event: (\w+)", resumed, re.MULTILINE) == ["source", "job_finished"]
    assert finished.startswith("HTTP/1.1 204 No Content")
    assert "event:" not in finished


async def test_python_program_follows_a_job_to_its_end(demo: ManagedProcess, folder: Path) -> None:
    (snippet,) = tutorial.code_blocks("Follow a job from Python", "python")
    (folder / "watch_job.py").write_text(snippet)
    ran = await run_chapter("Follow a job from Python", folder, demo.address)
    assert all(code == 0 for _, code, _ in ran), ran
    command, _, output = ran[-1]
    assert output.splitlines()[-1] == command.shown.splitlines()[-1]
