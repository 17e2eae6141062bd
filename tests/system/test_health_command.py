"""`health`, the health check of a container."""

import signal
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.ports import free_port
from tests.support.processes import run_server
from tests.support.terminals import CompletedCommand, run_command


async def test_server_is_healthy_until_it_hangs_or_ends(tmp_path: Path) -> None:
    async with run_server(tmp_path) as server:
        url = server.address
        assert await run_command(tmp_path, "health", "--url", url) == CompletedCommand(
            0, f"{url} ok\n", ""
        )
        asked = await run_command(tmp_path, "health", MARIANNE_STREAM_URL=url)
        assert asked.exit_code == 0
        server.send_signal(signal.SIGSTOP)
        hung = await run_command(tmp_path, "health", "--url", url)
        server.send_signal(signal.SIGCONT)
    sentence = f"marianne-stream: {url} cannot be reached: no response in 5 s\n"
    assert hung == CompletedCommand(5, "", sentence)
    ended = await run_command(tmp_path, "health", "--url", url)
    assert ended.exit_code == 5
    assert "Connection refused" in ended.stderr


async def test_unix_socket_is_asked_without_a_token(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    # Another user's file, as a secret of the container that only the server may read.
    tokens.write_text("short")
    socket = tmp_path / "http.sock"
    async with run_server(tmp_path, "--port", "none", "--uds", socket):
        asked = await run_command(
            tmp_path,
            "health",
            MARIANNE_STREAM_URL=f"unix:{socket}",
            MARIANNE_STREAM_TOKEN_FILE=str(tokens),
        )
    assert asked == CompletedCommand(0, f"unix:{socket} ok\n", "")


@pytest.mark.parametrize(
    ("answer", "exit_code"),
    [
        (web.json_response({"up": True}), 1),
        (web.Response(text="<html>hello"), 1),
        (web.json_response({"detail": "No"}, status=404), 3),
        (web.Response(status=503), 5),
    ],
)
async def test_something_else_is_not_healthy(
    tmp_path: Path, answer: web.Response, exit_code: int
) -> None:
    async def get(_request: web.Request) -> web.Response:
        return answer

    app = web.Application()
    app.router.add_get("/health", get)
    async with TestServer(app) as server:
        ended = await run_command(tmp_path, "health", "--url", str(server.make_url("/")))
    assert (ended.exit_code, ended.stdout) == (exit_code, "")
    assert ended.stderr.count("\n") == 1


async def test_invalid_address_exits_2(tmp_path: Path) -> None:
    ended = await run_command(tmp_path, "health", "--url", f"127.0.0.1:{free_port()}")
    assert ended.exit_code == 2
    assert "the server's address must be" in ended.stderr
