"""The compose files of docs/examples are consistent, and servers run with their settings.

Docker itself is not run. Not tested: whether Docker accepts the files (only the keys that they use
are compared with the Compose Specification), and the isolation of containers (users, read-only
directories, capabilities, networks). Mounts are replaced by other paths. `test_container.py` tests
the image.
"""

import ipaddress
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from marianne_stream.cli.client_command import URL_ENV
from marianne_stream.cli.commands import COMMANDS, make_parser
from marianne_stream.cli.settings_options import make_settings
from marianne_stream.config.settings import ENV_PREFIX, Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.dockerfile import read_steps
from tests.support.external import require_program
from tests.support.nginx_server import EXAMPLES, SITE_NAME, fill_example, run_behind_nginx
from tests.support.ports import free_port
from tests.support.processes import CHECKOUT, ManagedProcess, run_process
from tests.support.redis_server import RedisServer, run_redis
from tests.support.viewers import open_viewer

DOCS = EXAMPLES.parent
EDGES, SINGLE = "compose-edges.yaml", "compose.yaml"
GUIDE = DOCS / "how-to" / "more-than-one-machine.md"
GUIDES = {EDGES: GUIDE, SINGLE: DOCS / "how-to" / "run-it-in-a-container.md"}
REFERENCE = DOCS / "reference" / "relay.md"

SERVERS = ("relay", "edge-1", "edge-2")
KINDS = ("secrets", "configs", "networks", "volumes")

# The command of the image.
COMMAND = ("-m", "marianne_stream", "serve")

# The keys of the Compose Specification that this file may use.
TOP_KEYS = {"name", "services", *KINDS}
SERVICE_KEYS = {
    *("image", "build", "command", "environment", "read_only", "tmpfs", "cap_drop", "mem_limit"),
    *("security_opt", "ulimits", "stop_grace_period", "restart", "depends_on", "ports", *KINDS),
    "pids_limit",
}

FIELDS = Settings.model_fields
DEFAULT_PORT = FIELDS["port"].default

ADMIN = {"username": "admin", "password": "password-of-the-test"}


def load_compose(name: str = EDGES, /, **places: object) -> dict[str, Any]:
    """Return a file with its placeholders filled."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    given: dict[str, object] = {
        "CHECKOUT": "/usr/src/marianne-stream",
        "UID": 1000,
        "GID": 1001,
        "SOCKET_FOLDER": "/run/marianne",
        "SOCKET_NAME": "c.sock",
        "REGISTRY_FOLDER": "/var/lib/marianne",
        "WORKSPACES": "/srv/jobs",
        "SOURCE_NAME": "oak",
        "SERVER_NAME": SITE_NAME,
        "RELAY_DIGEST": "0" * 64,
        "EDGE_DIGEST": "1" * 64,
    }
    wanted = {key: value for key, value in (given | places).items() if f"@{key}@" in text}
    read: dict[str, Any] = yaml.safe_load(fill_example(name, **wanted))
    return read


def resources_used(service: dict[str, Any], kind: str) -> set[str]:
    """Return the names of the resources of a kind that a service uses."""
    found = service.get(kind, [])
    names = [entry["source"] if isinstance(entry, dict) else entry for entry in found]
    # A bind mount of this machine's directory is not a volume.
    return {name.partition(":")[0] for name in names if not name.startswith("/")}


@pytest.mark.parametrize("example", [EDGES, SINGLE])
def test_every_key_is_in_the_compose_specification(example: str) -> None:
    file = load_compose(example)
    assert {key for key in file if not key.startswith("x-")} <= TOP_KEYS
    for service in file["services"].values():
        assert set(service) <= SERVICE_KEYS


@pytest.mark.parametrize("example", [EDGES, SINGLE])
@pytest.mark.parametrize("kind", KINDS)
def test_used_resources_are_declared(kind: str, example: str) -> None:
    file = load_compose(example)
    used = {name for service in file["services"].values() for name in resources_used(service, kind)}
    assert used == set(file.get(kind, ()))


@pytest.mark.parametrize("example", [EDGES, SINGLE])
def test_servers_have_an_image_of_the_clone_and_limits(example: str) -> None:
    for name, service in load_compose(example, CHECKOUT=CHECKOUT)["services"].items():
        assert re.fullmatch(r"[a-z-]+(:\d+)?", service["image"])
        assert "mem_limit" in service
        assert (":" in service["image"]) == (name in ("redis", "nginx"))
        if "build" in service:
            assert (Path(service["build"]["context"]) / "Dockerfile").is_file()
            assert service["build"]["args"] == {"UID": "1000", "GID": "1001"}
            assert service["read_only"]


def test_secrets_are_readable_by_their_services() -> None:
    for service in load_compose()["services"].values():
        found = re.findall(r"/run/secrets/(\w+)", str(service.get("environment")))
        assert set(found) <= resources_used(service, "secrets")


def test_static_addresses_are_unique_and_match_the_settings() -> None:
    file = load_compose()
    networks = {name: service["networks"] for name, service in file["services"].items()}
    front = {name: n["front"]["ipv4_address"] for name, n in networks.items() if "front" in n}
    subnet = ipaddress.ip_network(file["networks"]["front"]["ipam"]["config"][0]["subnet"])
    # Docker takes the first address.
    free = [str(host) for host in subnet.hosts()][1:]
    assert set(front.values()) <= set(free)
    assert len(set(front.values())) == len(front)
    for edge in ("edge-1", "edge-2"):
        service = file["services"][edge]
        assert service["environment"]["MARIANNE_STREAM_TRUSTED_PROXIES"] == front["nginx"]
        assert f"`{front[edge]}:{DEFAULT_PORT}`" in GUIDE.read_text()


@pytest.mark.parametrize("example", [EDGES, SINGLE])
def test_every_placeholder_is_in_the_guide(example: str) -> None:
    for name in re.findall(r"@[A-Z_0-9]+@", (EXAMPLES / example).read_text()):
        assert f"`{name}`" in GUIDES[example].read_text()
    assert re.findall(r"@[A-Z_0-9]+@", str(load_compose(example))) == []


@pytest.mark.parametrize(
    ("user", "page"), [("relay", REFERENCE), ("relay", GUIDE), ("edge", GUIDE)]
)
def test_redis_users_have_the_documented_rights(user: str, page: Path) -> None:
    words = re.search(
        rf"```(?:text)?\nuser {user}\S* on >PASSWORD (.*?)\n```", page.read_text(), re.DOTALL
    )
    assert words
    expected = words[1].replace("PREFIX", "marianne-stream").replace("{S}", "{oak}").split()
    lines = load_compose()["configs"]["redis_users"]["content"].splitlines()
    found = next(line.split() for line in lines if line.startswith(f"user {user} "))
    assert found[4:] == expected


@pytest.mark.parametrize(
    ("example", "name"), [*((EDGES, name) for name in SERVERS), (SINGLE, "server")]
)
def test_servers_accept_their_settings(
    example: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = load_compose(example)["services"][name]
    for variable in [variable for variable in os.environ if variable.startswith(ENV_PREFIX)]:
        monkeypatch.delenv(variable)
    for variable, value in service["environment"].items():
        # A variable that is not a setting would be ignored; the health check has its own.
        assert variable == URL_ENV or variable.removeprefix(ENV_PREFIX).lower() in FIELDS
        monkeypatch.setenv(variable, value)
    assert "command" not in service
    settings = make_settings(vars(make_parser("serve", COMMANDS["serve"].load()).parse_args([])))
    assert (settings.source_name, settings.port) in [("oak", None), (None, DEFAULT_PORT)]
    assert not settings.no_auth


def test_nginx_accepts_its_settings(tmp_path: Path) -> None:
    text: str = load_compose()["configs"]["nginx"]["content"]
    folder = "/etc/nginx/conf.d"
    assert f"{folder}/" in load_compose()["services"]["nginx"]["configs"][1]["target"]
    # The user that runs the tests may not be allowed to write nginx's own log.
    here = text.replace(folder, f"{tmp_path}/conf.d").replace("http {", "http { access_log off;")
    (tmp_path / "nginx.conf").write_text(here)
    command = (require_program("nginx"), "-t", "-c", tmp_path / "nginx.conf", "-p", tmp_path)
    own = ("-e", tmp_path / "error.log", "-g", f"pid {tmp_path}/pid;")
    found = subprocess.run(
        (*command, *own), capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stderr


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """Create the secrets with the commands of the guide; return the digests that they print."""
    found = re.search(r"```console\n(\$ umask 077\n.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found
    script = "set -e\n" + found[1].replace("$ ", "", 1).replace("\n$ ", "\n")
    done = subprocess.run(
        (require_program("bash"), "-c", script),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    relay, edge = re.findall(r"^[0-9a-f]{64}", done.stdout, re.MULTILINE)
    return {"RELAY_DIGEST": relay, "EDGE_DIGEST": edge}


@pytest.fixture
def file(tmp_path: Path, secrets: dict[str, str]) -> dict[str, Any]:
    """Return the file for a conductor in a directory."""
    folders = dict.fromkeys(("SOCKET_FOLDER", "REGISTRY_FOLDER", "WORKSPACES"), tmp_path)
    return load_compose(EDGES, **secrets, **folders)


@pytest.fixture
async def job_log(tmp_path: Path) -> AsyncIterator[Path]:
    """Run a conductor with one job; return the job's log."""
    conductor = SimulatedConductor(
        tmp_path / "c.sock", registry=tmp_path / "daemon-state.db", shutdown_grace_s=0
    )
    await conductor.start()
    (workspace := tmp_path / "ws").mkdir()
    (log := workspace / "marianne.log").write_text("a line\n")
    conductor.launch("lantern", 2, workspace=str(workspace))
    yield log
    await conductor.kill()


@pytest.fixture
async def redis(tmp_path: Path, file: dict[str, Any]) -> AsyncIterator[RedisServer]:
    """Run the Redis of the file, with one more user who reads the ACL log."""
    users = tmp_path / "users.acl"
    name, password = ADMIN["username"], ADMIN["password"]
    content = file["configs"]["redis_users"]["content"]
    users.write_text(f"{content}user {name} on >{password} ~* &* +@all\n")
    command, *options = file["services"]["redis"]["command"]
    assert command == "redis-server"
    target = file["services"]["redis"]["configs"][0]["target"]
    here = [option.replace(target, str(users)) for option in options]
    assert here != options
    async with run_redis(tmp_path, options=here, client_options=ADMIN) as redis:
        yield redis
        assert await redis.call("ACL", "LOG") == []


def server(
    service: dict[str, Any], folder: Path, redis: RedisServer
) -> AbstractAsyncContextManager[ManagedProcess]:
    """Run the command of a container, with its mounts replaced by paths of this machine."""
    places = dict(mounts(service, folder))
    places |= {"redis:6379": f"127.0.0.1:{redis.port}", "172.31.87.10": "127.0.0.1"}

    # In one pass: a replacement may contain the text of another path.
    inside = re.compile("|".join(map(re.escape, places)))

    def here(text: str) -> str:
        return inside.sub(lambda match: places[match[0]], text)

    given = {**image_environment(), "MARIANNE_STREAM_PORT": str(free_port())}
    given |= service["environment"]
    environment = {name: here(value) for name, value in given.items()}
    return run_process(*COMMAND, pass_fds=(), **environment)


def image_environment() -> dict[str, str]:
    """Return the settings of the image, with a loopback address."""
    text = next(text for instruction, text in read_steps() if instruction == "ENV")
    words = [word.partition("=") for word in text.split()]
    found = {name: value for name, _, value in words if name.startswith(ENV_PREFIX)}
    return found | {"MARIANNE_STREAM_HOST": "127.0.0.1"}


def mounts(service: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """Return the mounts of a service: path in the container, and its source."""
    yield "/run/secrets", f"{folder}/secrets"
    for path in service["tmpfs"]:
        (folder / "tmpfs").mkdir(exist_ok=True)
        yield f"{path}/", f"{folder}/tmpfs/"
    for volume in service["volumes"]:
        if isinstance(volume, dict):
            yield volume["target"], volume["source"]
        else:
            name, target = volume.split(":")
            yield target, str(folder / name)


async def test_job_is_visible_through_the_whole_deployment(
    tmp_path: Path, file: dict[str, Any], redis: RedisServer, job_log: Path
) -> None:
    del job_log
    token = (tmp_path / "secrets" / "tokens").read_text().strip()
    relay, *edges = (server(file["services"][name], tmp_path, redis) for name in SERVERS)
    async with relay as publishing, edges[0] as first, edges[1] as second:
        assert publishing.address == f"unix:{tmp_path}/tmpfs/http.sock"
        one, two = (edge.address.removeprefix("http://") for edge in (first, second))
        async with run_behind_nginx(
            tmp_path, example="nginx-edges.conf", EDGE_1=one, EDGE_2=two
        ) as behind:
            behind.session.headers["Authorization"] = f"Bearer {token}"
            async with open_viewer(
                behind.session, f"{behind.address}/api/jobs/lantern/logs", wait="true"
            ) as viewer:
                assert (await viewer.wait_for("log"))["line"] == "a line"
        await check_shared_session(first.address, second.address, token)
        assert "WARNING" not in publishing.log


async def check_shared_session(first: str, second: str, token: str) -> None:
    """Check that a browser's session at one edge is valid at the other."""
    named = {"Host": SITE_NAME, "Origin": f"http://{SITE_NAME}"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        async with session.post(f"{first}/login", json={"token": token}, headers=named) as answer:
            assert answer.status == 204
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        for cookies, status in ({"Cookie": cookie}, 200), ({}, 401):
            async with session.get(f"{second}/api/jobs", headers=named | cookies) as answer:
                assert answer.status == status
