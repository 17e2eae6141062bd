"""The registry, read without permission to write."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.processes import CHECKOUT
from tests.support.registry_database import open_registry, put_row

# Reads each registry that it is told of, without root's permission to do anything.
UNPRIVILEGED = """
import asyncio, json, os, sys
from pathlib import Path
from marianne_stream.errors import StateUnreadableError
from marianne_stream.backends.registry import RegistryBackend

async def read(path):
    try:
        return sorted((await RegistryBackend(lambda: Path(path)).read_roster()).entries)
    except StateUnreadableError as error:
        return [str(error), error.detail]

asyncio.run(read(sys.argv[1]))  # imports what is imported late
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
print(json.dumps({Path(path).parent.name: asyncio.run(read(path)) for path in sys.argv[1:]}))
"""


@pytest.fixture(scope="module")
def unprivileged() -> Iterator[dict[str, list[str]]]:
    """Yield the answers to an unprivileged reader, by name of the case."""
    names = ("closed", "running", "killed", "secret", "hidden")
    # Not below pytest's own folder, which is closed to other users.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        paths = {name: Path(folder, name, "state.db") for name in names}
        for path in paths.values():
            path.parent.mkdir()
        for name in ("closed", "secret", "hidden"):
            with closing(open_registry(paths[name])) as conductor:
                put_row(conductor, name)
        with closing(open_registry(paths["running"])) as conductor:
            put_row(conductor, "running")
            for end in ("", "-wal"):
                shutil.copy(f"{paths['running']}{end}", f"{paths['killed']}{end}")
            paths["secret"].chmod(0)
            for name, path in paths.items():
                path.parent.chmod(0 if name == "hidden" else 0o555)
            command = [sys.executable, "-c", UNPRIVILEGED, *map(str, paths.values())]
            output = subprocess.check_output(command, cwd=CHECKOUT, timeout=20)
            for path in paths.values():
                path.parent.chmod(0o755)
        assert list(paths["closed"].parent.iterdir()) == [paths["closed"]]
        yield json.loads(output)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("closed", "closed"),
        ("running", "running"),
        ("killed", "no permission to write to the folder"),
        ("secret", "no permission to read"),
        ("hidden", "no permission to search one of its folders"),
    ],
)
def test_read_only_registry_answers_or_names_missing_permission(
    unprivileged: dict[str, list[str]], case: str, said: str
) -> None:
    answer, *detail = unprivileged[case]
    assert said in answer
    assert bool(detail) == (said != case)
    assert "/" not in "".join(detail)
