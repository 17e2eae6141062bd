"""A job cannot make the server send what is outside of its workspace, whatever it swaps."""

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.processes import ManagedProcess, run_server

SECRET = b"secret-of-another-job"
JOB = "/api/jobs/mine"

# Requests of each race while its names are swapped.
RACE_REQUESTS = 2500
RACERS = 4


@pytest.fixture
async def conductor(tmp_path: Path) -> AsyncIterator[SimulatedConductor]:
    """Run a conductor with a job; a secret lies beside its workspace."""
    conductor = SimulatedConductor(tmp_path / "c.sock", registry=tmp_path / "state.db")
    await conductor.start()
    (tmp_path / "mine").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_bytes(SECRET)
    conductor.launch("mine", 1, workspace=str(tmp_path / "mine"))
    yield conductor
    await conductor.kill()


@pytest.fixture
async def server(tmp_path: Path, conductor: SimulatedConductor) -> AsyncIterator[ManagedProcess]:
    """Run a server on the conductor."""
    async with run_server(tmp_path, "--data-dir", tmp_path / "data", "--no-auth") as running:
        yield running


def swap_file(workspace: Path, number: int) -> None:
    """Replace a file by a link to the secret, or a link by a file."""
    new = workspace / "new"
    if number % 2:
        new.symlink_to(workspace.parent / "other" / "file")
    else:
        new.write_bytes(b"mine")
    new.replace(workspace / "file")


def swap_folder(workspace: Path, number: int) -> None:
    """Replace a folder by a link to the folder of the secret, or the other way round."""
    name, old = workspace / "folder", workspace / f"old-{number % 50}"
    with suppress(FileNotFoundError):
        name.rename(old)
    if number % 2:
        name.symlink_to(workspace.parent / "other")
    else:
        name.mkdir()
        (name / "file").write_bytes(b"mine")
    if old.is_symlink():
        old.unlink()
    elif old.exists():
        (old / "file").unlink()
        old.rmdir()


def swap_workspace(workspace: Path, number: int) -> None:
    """Replace the workspace by a link to the folder of the secret, or the other way round."""
    aside = workspace.with_name("aside")
    if number % 2:
        workspace.rename(aside)
        workspace.symlink_to(workspace.parent / "other")
    else:
        workspace.unlink()
        aside.rename(workspace)


def swap_fifo(workspace: Path, number: int) -> None:
    """Replace a file by a FIFO that has no writer, or a FIFO by a file."""
    new = workspace / "new"
    if number % 2:
        os.mkfifo(new)
    else:
        new.write_bytes(b"mine")
    new.replace(workspace / "file")


RACES: dict[str, tuple[Callable[[Path, int], None], str]] = {
    "file": (swap_file, "file"),
    "folder": (swap_folder, "folder/file"),
    "workspace": (swap_workspace, "file"),
    "fifo": (swap_fifo, "file"),
}


@contextmanager
def swapping(swap: Callable[[Path, int], None], workspace: Path) -> Iterator[None]:
    """Swap names all the time, and end with what a workspace should be."""
    stop = threading.Event()

    def run() -> None:
        number = 1
        while not stop.is_set() or number % 2 == 0:
            swap(workspace, number)
            number += 1
            # Some time for the server, and for other tests.
            time.sleep(0.001)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("race", RACES)
async def test_swapped_names_never_lead_outside_of_the_workspace(
    race: str, tmp_path: Path, server: ManagedProcess
) -> None:
    swap, path = RACES[race]
    workspace = tmp_path / "mine"
    (workspace / "file").write_bytes(b"mine")
    (workspace / "folder").mkdir()
    (workspace / "folder" / "file").write_bytes(b"mine")
    addresses = [f"{JOB}/files/{path}", f"{JOB}/file-lines/{path}", f"{JOB}/files?sort=name"]
    statuses: Counter[int] = Counter()

    async def request(session: aiohttp.ClientSession, first: int) -> None:
        for number in range(first, RACE_REQUESTS, RACERS):
            url = server.address + addresses[number % len(addresses)]
            async with session.get(url) as response:
                body = await response.read()
                assert SECRET not in body
                # The size of the secret, in a list.
                assert b'"size_bytes":%d' % len(SECRET) not in body
                # 503: the file was replaced again and again while it was read.
                assert response.status in (200, 403, 404, 503), body
                statuses[response.status] += 1

    async with aiohttp.ClientSession() as session:
        with swapping(swap, workspace):
            await asyncio.gather(*(request(session, first) for first in range(RACERS)))
        async with session.get(server.address + addresses[0]) as response:
            assert (response.status, await response.read()) == (200, b"mine")
    assert statuses[200] > 0
    assert statuses[403] + statuses[404] > 0 or race == "fifo"


ESCAPES = [
    "../other/file",
    "folder/../../other/file",
    "%2e%2e/other/file",
    "%2e%2e%2fother%2ffile",
    "..%2Fother%2Ffile",
    ".%2e/other/file",
    "%252e%252e/other/file",
    "..%5cother%5cfile",
    "..;/other/file",
    "link",
    "linked/file",
    "linked%2Ffile",
    "fifo",
    "null",
    ".",
    "..",
    "a//file",
    "/etc/passwd",
    "%2Fetc%2Fpasswd",
    "file%00.txt",
    "%00",
    "a" * 5000,
    "a/" * 3000 + "file",
    "%c0%ae%c0%ae/other/file",
    "%ef%bc%8e%ef%bc%8e/other/file",
    "C:%5cfile",
    "~/.ssh/id_rsa",
    "proc/self/environ",
]


@pytest.mark.parametrize("form", ["files", "file-lines", "file-stream"])
async def test_path_that_leads_outside_is_refused(
    form: str, tmp_path: Path, server: ManagedProcess
) -> None:
    workspace = tmp_path / "mine"
    (workspace / "link").symlink_to(tmp_path / "other" / "file")
    (workspace / "linked").symlink_to(tmp_path / "other")
    (workspace / "folder").mkdir()
    os.mkfifo(workspace / "fifo")
    if os.geteuid() == 0:
        os.mknod(workspace / "null", 0o666 | 0o020000, os.makedev(1, 3))
    async with aiohttp.ClientSession() as session:
        for path in ESCAPES:
            url = URL(f"{server.address}{JOB}/{form}/{path}", encoded=True)
            async with session.get(url) as response:
                text = await response.text()
                assert response.status in (400, 403, 404), (path, text)
                for leaked in (SECRET.decode(), "root:", str(tmp_path)):
                    assert leaked not in text, path
        async with session.get(server.address + "/health") as response:
            assert response.status == 200
    assert "Traceback" not in server.log


@pytest.mark.parametrize("place", ["/", "home", "above", "data", "relative", "root link"])
async def test_workspace_that_a_job_may_not_have_has_no_files(
    place: str, tmp_path: Path, conductor: SimulatedConductor, server: ManagedProcess
) -> None:
    (tmp_path / "root").symlink_to("/")
    workspaces = {
        "/": "/",
        "home": str(Path.home()),
        "above": str(tmp_path),
        "data": str(tmp_path / "data"),
        "relative": "etc",
        "root link": str(tmp_path / "root"),
    }
    conductor.launch("sly", 1, workspace=workspaces[place])
    async with aiohttp.ClientSession() as session:
        for path in ("files", "files/token", "files/data/token", "files/etc/passwd"):
            async with session.get(f"{server.address}/api/jobs/sly/{path}") as response:
                text = await response.text()
                assert response.status in (403, 404), text
                assert str(tmp_path) not in text


async def test_file_that_is_cut_while_it_is_sent_ends_the_connection(
    tmp_path: Path, server: ManagedProcess
) -> None:
    file = tmp_path / "mine" / "large.bin"
    size = 64 * 1024 * 1024
    with file.open("wb") as stream:
        stream.truncate(size)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server.address}{JOB}/files/large.bin") as response:
            assert response.content_length == size
            await response.content.readexactly(1024)
            os.truncate(file, 4096)
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        # What is appended meanwhile is not sent.
        file.write_bytes(b"x" * size)
        async with session.get(f"{server.address}{JOB}/files/large.bin") as response:
            received = await response.content.readexactly(1024)
            with file.open("ab") as stream:
                stream.write(b"y" * 1024)
            received += await response.read()
            assert received == b"x" * size


async def test_name_in_an_address_is_never_taken_for_a_header(
    tmp_path: Path, server: ManagedProcess
) -> None:
    name = 'a"\r\nX-Evil: 1\r\n.txt'
    (tmp_path / "mine" / name).write_bytes(b"mine")
    async with aiohttp.ClientSession() as session:
        url = URL(f"{server.address}{JOB}/files/{quote(name)}", encoded=True)
        async with session.get(url) as response:
            assert await response.read() == b"mine"
            assert "X-Evil" not in response.headers
