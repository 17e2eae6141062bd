"""Single sign-on as its guide sets it up, with a service that plays oauth2-proxy."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler

from tests.support.nginx_server import EXAMPLES, SITE_NAME, ProxiedServer, run_behind_nginx
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess, run_process

GUIDE = EXAMPLES.parent / "how-to" / "single-sign-on.md"

COOKIE = "_oauth2_proxy"
# oauth2-proxy splits larger cookies.
SESSION = "s" * 4000
TOKEN = "whole-token-0123456789"
ALICE = ("alice@example.org", "staff,night-shift")

USER, JOBS, SECRET = "X-Marianne-User", "X-Marianne-Jobs", "X-Marianne-Secret"
PROXY_SECRET = "proxy-secret-0123456789"

CLEAR_USER = f'        proxy_set_header {USER} "";\n        proxy_set_header {JOBS} "";\n'
CLEAR_SECRET = f'        proxy_set_header {SECRET} "";\n'


def guide_blocks(language: str) -> list[str]:
    """Return the blocks of the guide in a language, in order."""
    text = GUIDE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


class SignOnService:
    """Plays oauth2-proxy: signs `user` in without questions, and says who is signed in.

    Attributes:
        user: name and groups of the person at the browser.
        sign_ins: number of times that somebody was signed in.
        port: the port that it listens on.
    """

    def __init__(self) -> None:
        self.user = ALICE
        self.sign_ins = 0
        self.port = free_port()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer as the endpoints of oauth2-proxy do."""
        name, groups = self.user
        where = request.query.get("rd", request.headers.get("X-Auth-Request-Redirect", "/"))
        response = web.Response(status=302, headers={"Location": where})
        if request.path == "/oauth2/auth":
            if COOKIE not in request.cookies:
                return web.Response(status=401)
            headers = {"X-Auth-Request-Email": name, "X-Auth-Request-Groups": groups}
            return web.Response(status=202, headers=headers)
        if request.path == "/oauth2/start":
            # A provider that knows the user comes back at once.
            response.headers["Location"] = f"/oauth2/callback?rd={quote(where, safe='')}"
        elif request.path == "/oauth2/callback":
            response.set_cookie(COOKIE, SESSION, secure=True, httponly=True)
            self.sign_ins += 1
        elif request.path == "/oauth2/sign_out":
            response.del_cookie(COOKIE)
        else:
            assert request.path == "/oauth2/sign_in"
            response = web.Response(text="Sign in with the provider")
        return response


@asynccontextmanager
async def run_answering(
    answer: Handler, *, port: int | None = None, path: Path | None = None
) -> AsyncIterator[None]:
    """Run a server that answers all requests like this, at a port or a Unix socket."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    if path is not None:
        await web.UnixSite(runner, str(path)).start()
    else:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def run_sign_on_server(
    folder: Path, *, over_tcp: bool = False
) -> AsyncIterator[ManagedProcess]:
    """Run a server with the settings of the guide, on a Unix socket or with the proxy's secret."""
    for name, text in (("tokens", TOKEN), ("proxy-secret", PROXY_SECRET)):
        (folder / name).write_text(f"{text}\n")
        (folder / name).chmod(0o600)
    settings, secret = guide_blocks("toml")
    if over_tcp:
        settings += re.sub('"/.*"', f'"{folder}/proxy-secret"', secret)
    (folder / "settings.toml").write_text(settings)
    sockets = ("--port", 0) if over_tcp else ("--port", "none", "--uds", folder / "http.sock")
    trusted = "127.0.0.1" if over_tcp else "unix"
    async with run_process(
        *("-m", "marianne_stream", "--config", folder / "settings.toml", *sockets),
        *("--conductor-socket", folder / "c.sock", "--registry-path", folder / "state.db"),
        *("--data-dir", folder / "own", "--token-file", folder / "tokens"),
        *("--allowed-hosts", SITE_NAME, "--trusted-proxies", trusted),
    ) as running:
        yield running


@asynccontextmanager
async def run_behind_sign_on(
    folder: Path, service: SignOnService, *, tcp_address: str = ""
) -> AsyncIterator[ProxiedServer]:
    """Run nginx with the example, changed as the guide says, and the service."""
    maps, locations, in_location, secret = guide_blocks("nginx")
    changes = [
        ("upstream marianne_stream {", f"{maps}\nupstream marianne_stream {{"),
        ("    location / {\n", f"{locations}\n    location / {{\n"),
        (CLEAR_USER, in_location),
        ("http://127.0.0.1:4180", f"http://127.0.0.1:{service.port}"),
    ]
    if tcp_address:
        changes += [
            (CLEAR_SECRET, secret.replace("the secret", PROXY_SECRET)),
            (f"server unix:{folder / 'http.sock'};", f"server {tcp_address};"),
        ]
    async with (
        run_answering(service.answer, port=service.port),
        run_behind_nginx(folder, *changes) as behind,
    ):
        yield behind
