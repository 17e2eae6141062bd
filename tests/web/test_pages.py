"""Static files and templates of the page."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.web import frontend
from tests.web.conftest import Client

Start = Callable[..., Awaitable[Client]]


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
    for path in ("/login", "/static/css/sign_in.css"):
        async with client.get(path) as response:
            assert response.status == 200
