"""The image, built and run without Docker: its steps, its command and its health check."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import pytest

from marianne_stream.auth.token_source import find_local_token
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.dockerfile import IGNORED, Image, build_image, read_steps
from tests.support.ports import free_port
from tests.support.processes import CHECKOUT, ManagedProcess, run_program
from tests.support.viewers import open_viewer

COPIED = [text for instruction, text in read_steps() if instruction == "COPY"]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Build the image in a directory of its own."""
    with TemporaryDirectory(prefix="marianne-stream-image-") as folder:
        yield build_image(Path(folder))


def make_environment(image: Image, folder: Path, port: int) -> dict[str, str]:
    """Return the environment of a container with a conductor, which it reaches in a directory."""
    names = {name: value for name, value in os.environ.items() if "MARIANNE_STREAM" not in name}
    return {
        **names,
        **image.environment,
        # No writable directory of its user.
        "HOME": str(image.folder),
        "MARIANNE_STREAM_HOST": "127.0.0.1",
        "MARIANNE_STREAM_PORT": str(port),
        # The health check of a container finds its server at the default port.
        "MARIANNE_STREAM_URL": f"http://127.0.0.1:{port}",
        "MARIANNE_STREAM_CONDUCTOR_SOCKET": str(folder / "c.sock"),
        "MARIANNE_STREAM_REGISTRY_PATH": str(folder / "state.db"),
    }


def run_container(
    image: Image, environment: dict[str, str]
) -> AbstractAsyncContextManager[ManagedProcess]:
    """Run the image's command."""
    command = [*image.find_command("ENTRYPOINT"), *image.commands["CMD"]]
    return run_program(command, environment, cwd=Path("/"))


async def run_in_container(image: Image, environment: dict[str, str], *command: str) -> int:
    """Run a command as `docker exec` and a health check do; return its exit code."""
    started = await asyncio.create_subprocess_exec(*command, cwd="/", env=environment)
    return await started.wait()


def test_files_of_the_image_are_not_ignored() -> None:
    first, *kept = [line for line in IGNORED.read_text().splitlines() if line[:1] not in ("#", "")]
    assert first == "*"
    names = {name for text in COPIED if "--from" not in text for name in text.split()[:-1]}
    assert names == {line[1:] for line in kept if line.startswith("!")}
    assert all((CHECKOUT / name).exists() for name in names)


def changes_below(folder: Path) -> set[tuple[Path, int]]:
    """Return what is below a directory, with the times of the last changes."""
    return {(path, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


async def test_container_serves_is_healthy_and_stops(
    image: Image, tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("lantern", 2)
    environment = make_environment(image, tmp_path, free_port())
    data = Path(image.environment["MARIANNE_STREAM_DATA_DIR"])
    assert (data.stat().st_mode & 0o777) == 0o700
    assert image.user == f"{os.getuid()}:{os.getgid()}"
    before = changes_below(image.folder)
    check = image.find_command("HEALTHCHECK")
    assert await run_in_container(image, environment, *check) == 5
    async with run_container(image, environment) as server, aiohttp.ClientSession() as session:
        assert await run_in_container(image, environment, *check) == 0
        token = find_local_token(data)
        url = f"{server.address}/api/jobs/lantern/stream"
        headers = {"Authorization": f"Bearer {token}"}
        async with open_viewer(session, url, headers=headers) as viewer:
            await viewer.wait_for("job_status")
            conductor.complete_sheet("lantern", 1)
            await viewer.wait_for_status(completed_sheets=1)
        server.send_signal(signal.SIGTERM)
        assert await server.wait() == 0
    # Its root is read-only: it writes into its data directory alone.
    written = changes_below(image.folder) - before
    assert [path for path, _ in written if not path.is_relative_to(data)] == []


async def test_container_has_messages_and_redis(image: Image) -> None:
    """The extras are installed."""
    python = image.find_program("python")
    assert await run_in_container(image, {}, python, "-c", "import apprise, redis, hiredis") == 0
