"""Real nginx on loopback with a file of docs/examples."""

import asyncio
import re
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import trustme

from tests.support.external import require_program
from tests.support.ports import free_port
from tests.support.processes import run_process
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until

# The site name in the filled example.
SITE_NAME = "watch.example.org"

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

MAIN_CONFIG = """
daemon off;
pid {folder}/nginx.pid;
worker_processes 1;
error_log {folder}/error.log;
events {{ worker_connections 1000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/b;
    proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
    include {folder}/site.conf;
}}
"""


def fill_example(name: str, **values: object) -> str:
    """Return a file of docs/examples with its placeholders filled."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    for key, value in values.items():
        assert f"@{key}@" in text
        text = text.replace(f"@{key}@", str(value))
    return text


class NginxServer:
    """A running nginx.

    Args:
        process: its master process.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def reload(self) -> None:
        """Reload the configuration (nginx.org, Controlling nginx)."""
        self.process.send_signal(signal.SIGHUP)


@asynccontextmanager
async def run_nginx(folder: Path, site: str, port: int) -> AsyncIterator[NginxServer]:
    """Run nginx with this site."""
    command = require_program("nginx")
    folder.mkdir(exist_ok=True)
    (folder / "site.conf").write_text(site)
    # As root, nginx would switch to a user that cannot connect to the sockets of a test.
    user = "user root;\n" if Path("/root").owner() == Path(folder).owner() else ""
    (folder / "nginx.conf").write_text(user + MAIN_CONFIG.format(folder=folder))
    process = await asyncio.create_subprocess_exec(
        *(command, "-c", folder / "nginx.conf", "-e", folder / "error.log", "-p", folder)
    )

    def listens() -> bool:
        assert process.returncode is None, (folder / "error.log").read_text()
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    try:
        await wait_until(listens)
        yield NginxServer(process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@dataclass
class ProxiedServer:
    """A server behind nginx.

    Attributes:
        nginx: the proxy.
        address: base URL of the proxy, with its site name.
        session: client session that trusts the certificate and resolves the site name.
    """

    nginx: NginxServer
    address: str
    session: aiohttp.ClientSession


@asynccontextmanager
async def run_behind_nginx(
    folder: Path, *changes: tuple[str, str], example: str = "nginx.conf", **servers: object
) -> AsyncIterator[ProxiedServer]:
    """Run nginx with an example; the session resolves its site name to loopback.

    Args:
        folder: directory for its files.
        changes: pairs of a text in the example and its replacement.
        example: file name of the example.
        servers: placeholders of the upstream servers; by default a socket in the directory.
    """
    authority = trustme.CA()
    certificate = authority.issue_cert(SITE_NAME)
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "all.pem")
    port = free_port()
    text = fill_example(
        example,
        **(servers or {"SOCKET": folder / "http.sock"}),
        SERVER_NAME=SITE_NAME,
        LISTEN=f"127.0.0.1:{port}",
        CERTIFICATE=folder / "all.pem",
        CERTIFICATE_KEY=folder / "all.pem",
    )
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    connector = aiohttp.TCPConnector(ssl=trust, resolver=LoopbackResolver())
    jar = aiohttp.CookieJar()
    async with (
        run_nginx(folder / "nginx", text, port) as running,
        aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session,
    ):
        yield ProxiedServer(running, f"https://{SITE_NAME}:{port}", session)


GUIDE = EXAMPLES.parent / "how-to" / "run-it-as-a-service.md"

# The lines of the guide for a path, for nginx.conf and for nginx-edges.conf.
PATH_BLOCKS = re.compile(r"```nginx\n(    location /marianne/ \{\n.*?)```", re.DOTALL)


@asynccontextmanager
async def run_below_path(
    folder: Path, token: str, *changes: tuple[str, str], is_edge: bool = False
) -> AsyncIterator[ProxiedServer]:
    """Run a server and nginx with the guide's settings for a path, which the address contains.

    Args:
        folder: directory of the conductor's socket, and for files of the server and nginx.
        token: accepted token.
        changes: further changes of the example.
        is_edge: use nginx-edges.conf.
    """
    for_one, for_edges = PATH_BLOCKS.findall(GUIDE.read_text(encoding="utf-8"))
    servers: dict[str, object] = {}
    if is_edge:
        changes = (("    location / {\n", for_edges), *changes)
        servers = dict.fromkeys(("EDGE_1", "EDGE_2"), f"unix:{folder / 'http.sock'}")
    else:
        replaced = ("        proxy_pass http://marianne_stream;\n", "")
        changes = (("    location / {\n", for_one), replaced, *changes)
    tokens = folder / "tokens"
    tokens.write_text(f"{token}\n")
    tokens.chmod(0o600)
    arguments = (
        *("-m", "marianne_stream", "--port", "none", "--uds", folder / "http.sock"),
        *("--conductor-socket", folder / "c.sock", "--registry-path", folder / "state.db"),
        *("--data-dir", folder / "own", "--token-file", tokens, "--root-path", "/marianne"),
        *("--allowed-hosts", SITE_NAME, "--trusted-proxies", "unix"),
    )
    example = "nginx-edges.conf" if is_edge else "nginx.conf"
    async with (
        run_process(*arguments),
        run_behind_nginx(folder, *changes, example=example, **servers) as behind,
    ):
        yield replace(behind, address=f"{behind.address}/marianne")


async def check_unavailable_responses(proxied: ProxiedServer) -> None:
    """Check the responses without a server: a `retry` for EventSource, 503 for programs."""
    async with open_viewer(proxied.session, f"{proxied.address}/api/roster/stream") as viewer:
        await viewer.wait_ended()
        assert viewer.response.status == 200
        assert 1500 <= (viewer.retry_ms or 0) <= 4500
        assert viewer.response.headers["X-Content-Type-Options"] == "nosniff"
        assert "max-age" in viewer.response.headers["Strict-Transport-Security"]
    async with proxied.session.get(f"{proxied.address}/api/jobs") as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "5"
        assert (await response.json())["code"] == "shutting_down"


class LoopbackResolver(aiohttp.abc.AbstractResolver):
    """Resolve every name to 127.0.0.1."""

    async def resolve(
        self, host: str, port: int = 0, family: int = 0
    ) -> list[aiohttp.abc.ResolveResult]:
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": 2,
                "proto": 0,
                "flags": 0,
            }
        ]

    async def close(self) -> None:
        pass
