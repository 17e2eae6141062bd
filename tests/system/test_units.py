"""systemd accepts the units of docs/examples and rates their exposure as low."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.external import require_program
from tests.support.nginx_server import EXAMPLES, fill_example

SERVICE, SOCKET = "marianne-stream.service", "marianne-stream.socket"
RELAY, EDGE = "marianne-stream-relay.service", "marianne-stream-edge.service"
DROP_INS = ("marianne-stream-publish.conf", "marianne-stream-notify.conf")

RUN = {"PYTHON": sys.executable, "CONFIG": "/etc/marianne-stream.toml"}
OWNER = {"USER": "root", "SOCKET_GROUP": "root"}
REDIS: dict[str, object] = {
    "ADDRESSES": "localhost 192.0.2.20",
    "REDIS_PASSWORD": "/etc/marianne-stream/redis",
}

PLACES: dict[str, dict[str, object]] = {
    SERVICE: {**RUN, **OWNER, "CHECKOUT": EXAMPLES.parents[1]},
    SOCKET: {"USER": "root", "NGINX_GROUP": "root"},
    RELAY: {**RUN, **OWNER, **REDIS},
    EDGE: {**RUN, **REDIS, "PORT": 8765, "TOKENS": "/etc/marianne-stream/tokens"},
    DROP_INS[0]: REDIS,
    DROP_INS[1]: {"ADDRESSES": "any"},
}

# The highest exposure allowed for each, as `systemd-analyze security` rates it from 0 to 10.
LIMITS = {SERVICE: 2.0, RELAY: 2.5, EDGE: 2.5}


@pytest.fixture(params=[None, *DROP_INS])
def units(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Write the units with their placeholders filled."""
    for name in (SERVICE, SOCKET, RELAY, EDGE):
        (tmp_path / name).write_text(fill_example(name, **PLACES[name]))
    if request.param is not None:
        (folder := tmp_path / f"{SERVICE}.d").mkdir()
        (folder / request.param).write_text(fill_example(request.param, **PLACES[request.param]))
    return tmp_path


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = (require_program("systemd-analyze"), *map(str, arguments))
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_systemd_accepts_the_units(units: Path) -> None:
    found = analyze("verify", *(units / name for name in (SERVICE, SOCKET, RELAY, EDGE)))
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@pytest.mark.parametrize("name", LIMITS)
def test_units_have_low_exposure(units: Path, name: str) -> None:
    found = analyze("security", "--offline=yes", "--no-pager", units / name)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", found.stdout)
    assert level, found.stderr
    opened = (units / f"{name}.d").exists()
    assert float(level[1]) < (2.5 if opened else LIMITS[name])


@pytest.mark.parametrize("name", PLACES)
def test_every_placeholder_is_known(name: str) -> None:
    assert re.findall(r"@[A-Z_0-9]+@", fill_example(name, **PLACES[name])) == []


def test_drop_in_is_read_by_systemd(tmp_path: Path) -> None:
    """Without this, the tests above would not cover the drop-ins."""
    (tmp_path / SERVICE).write_text(fill_example(SERVICE, **PLACES[SERVICE]))
    (folder := tmp_path / f"{SERVICE}.d").mkdir()
    (folder / "publish.conf").write_text("[Service]\nNoSuchKey=1\n")
    assert "NoSuchKey" in analyze("verify", tmp_path / SERVICE).stderr
