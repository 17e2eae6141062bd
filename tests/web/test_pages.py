"""Static files and templates of the page."""

import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePosixPath

import aiohttp
import pytest

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.web import frontend
from tests.web.conftest import Client

Start = Callable[..., Awaitable[Client]]

# Static files that a page names, and modules that a module imports.
PAGE_FILE_PATTERN = re.compile(r'(?:href|src)="(/static/[^"]+)"')
IMPORT_PATTERN = re.compile(r'^(?:import|export)\b[^;]*?"(\.[^"]+)";', re.MULTILINE)


async def find_static_files(client: Client, path: str) -> list[str]:
    """Return the paths of the static files that a page names."""
    async with client.get(path) as response:
        return PAGE_FILE_PATTERN.findall(await response.text())


async def test_running_server_keeps_its_pages_during_an_upgrade(
    settings: Settings, tmp_path: Path, aiohttp_client: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "static"
    shutil.copytree(Path(str(frontend.STATIC_DIR)), folder)
    monkeypatch.setattr(frontend, "STATIC_DIR", folder)
    guarded = {"no_auth": False, "data_dir": tmp_path}
    client = await aiohttp_client(
        create_app(settings.model_copy(update=guarded)), cookie_jar=aiohttp.DummyCookieJar()
    )
    shutil.rmtree(folder)
    for path in ("/login", *await find_static_files(client, "/login")):
        async with client.get(path) as response:
            assert response.status == 200


async def test_files_of_this_release_are_kept_by_browsers(client: Client) -> None:
    path = (await find_static_files(client, "/"))[0]
    async with client.get(path) as response:
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        body, etag = await response.read(), response.headers["ETag"]
    # It is that of the compressed file, too.
    assert etag.startswith('W/"')
    _, folder, release, name = path.split("/", 3)
    other = f"/{folder}/{release[::-1]}/{name}"
    async with client.get(other) as response:
        assert response.headers["Cache-Control"] == "no-cache"
        assert await response.read() == body
    for known in (etag, f'"another", {etag.removeprefix("W/")}'):
        async with client.get(other, headers={"If-None-Match": known}) as response:
            assert (response.status, await response.read()) == (304, b"")
    async with client.get(other, headers={"If-None-Match": 'W/"another"'}) as response:
        assert response.status == 200
    async with client.get(f"/{folder}/{name}") as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        *(("gzip, br", "gzip"), ("br;q=1, GZIP ; q=0.5", "gzip")),
        *(("br", None), ("br, gzip;q=0", None), ("gzip; q=0.000", None), ("x-gzip", None)),
    ],
)
async def test_files_are_compressed_for_clients_that_accept_it(
    client: Client, accepted: str, encoding: str | None
) -> None:
    path = next(path for path in await find_static_files(client, "/") if "main.js" in path)
    async with client.get(path, headers={"Accept-Encoding": accepted}) as response:
        assert response.headers.get("Content-Encoding") == encoding
        assert response.headers["Vary"] == "Accept-Encoding"
        file = Path(str(frontend.STATIC_DIR)) / "js" / "main.js"
        assert await response.read() == file.read_bytes()


async def test_page_names_all_modules_that_it_imports(client: Client) -> None:
    """A browser loads them at once, and not one import after the other."""
    async with client.get("/") as response:
        page = await response.text()
    preloaded = re.findall(r'<link rel="modulepreload" href="([^"]+)">', page)
    found = {next(path for path in preloaded if path.endswith("/js/main.js"))}
    unread = set(found)
    while unread:
        path = unread.pop()
        async with client.get(path) as response:
            imported = IMPORT_PATTERN.findall(await response.text())
        paths = {resolve_import(path, name) for name in imported} - found
        found |= paths
        unread |= paths
    assert sorted(found) == preloaded


def resolve_import(path: str, name: str) -> str:
    """Return the path of a module that another imports."""
    folder = PurePosixPath(path).parent
    while name.startswith("../"):
        folder, name = folder.parent, name[3:]
    return str(folder / name.removeprefix("./"))
