"""The units of docs/examples are what systemd takes, and leave little open."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.external import program
from tests.support.nginx import EXAMPLES, filled

SERVICE, SOCKET = "marianne-stream.service", "marianne-stream.socket"


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with the units, their placeholders filled."""
    places = {"PYTHON": sys.executable, "CONFIG": "/etc/marianne-stream.toml"}
    user = {"USER": "root"}
    (tmp_path / SERVICE).write_text(
        filled(SERVICE, **places, **user, SOCKET_GROUP="root", CHECKOUT=EXAMPLES.parents[1])
    )
    (tmp_path / SOCKET).write_text(filled(SOCKET, **user, NGINX_GROUP="root"))
    return tmp_path


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = (program("systemd-analyze"), *map(str, arguments))
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_systemd_takes_them(units: Path) -> None:
    found = analyze("verify", units / SERVICE, units / SOCKET)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_they_leave_little_open(units: Path) -> None:
    found = analyze("security", "--offline=yes", "--no-pager", units / SERVICE)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", found.stdout)
    assert level, found.stderr
    assert float(level[1]) < 2.0
