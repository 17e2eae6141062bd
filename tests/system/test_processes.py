"""The server as a process: output, exit codes, and a conductor that stops independently."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import pytest

from tests.support.processes import CHECKOUT, run_conductor, run_process, run_server
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until


async def run(*arguments: object, **environment: str) -> tuple[int, str, str]:
    """Run Python to its end; return the exit code, the output and the errors."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, arguments),
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        out, errors = await started.communicate()
    assert started.returncode is not None
    return started.returncode, out.decode(), errors.decode()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Return a directory with a short path: a socket's path must stay under 108 bytes."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


async def fetch_body(url: str) -> str:
    """Return the body of a response."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


@pytest.mark.parametrize("door", [("-m", "marianne_stream"), ("run_server.py",)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_server_prints_its_address_and_ends_quietly_on_a_signal(
    tmp_path: Path, door: tuple[str, ...], number: signal.Signals
) -> None:
    async with run_process(
        *door, "--port", 0, "--conductor-socket", tmp_path / "c.sock", "--log-level", "error"
    ) as running:
        assert running.first_line.startswith("marianne-stream listening on http://127.0.0.1:")
        assert await fetch_body(f"{running.address}/health") == '{"status":"ok"}'
        running.send_signal(number)
        assert await running.wait() == 0
        assert running.log == ""


@pytest.mark.parametrize("verb", [(), ("demo",)])
async def test_port_in_use_exits_1_with_one_sentence(verb: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, errors = await run("-m", "marianne_stream", *verb, "--port", port)
    assert (code, out) == (1, "")
    sentence = f"marianne-stream: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    assert errors == sentence


async def test_invalid_host_exits_1_with_one_sentence() -> None:
    code, _, errors = await run("-m", "marianne_stream", "--host", "a..b")
    assert code == 1
    assert errors == "marianne-stream: cannot listen on a..b port 8765: invalid host name\n"


async def test_signal_right_after_the_first_line_ends_the_server(tmp_path: Path) -> None:
    for _ in range(3):
        async with run_server(tmp_path, "--log-level", "error") as running:
            running.send_signal(signal.SIGTERM)
            assert await running.wait() == 0


async def test_sighup_during_startup_is_ignored(tmp_path: Path) -> None:
    starting = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "marianne_stream", "--port", "0", "--no-auth"),
        *("--conductor-socket", tmp_path / "c.sock", "--log-level", "error"),
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert starting.stdout is not None
    # The command is parsed, and the modules of the server are being imported.
    maps = Path(f"/proc/{starting.pid}/maps")
    await wait_until(lambda: "multidict" in maps.read_text() or starting.returncode is not None)
    line = asyncio.create_task(starting.stdout.readline())
    while not line.done():
        starting.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.001)
    assert (await line).startswith(b"marianne-stream listening on")
    starting.terminate()
    assert await starting.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_repeated_signals_during_shutdown_keep_exit_code_0(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with run_server(tmp_path, "--log-level", "error") as running:
        ended = asyncio.create_task(running.wait())
        while not ended.done():
            # Popen.send_signal would take the exit code away from asyncio.
            with suppress(ProcessLookupError):
                os.kill(running.pid, number)
            await asyncio.sleep(0.0005)
        assert await ended == 0
        assert running.log == ""


async def test_malformed_http_is_not_logged(tmp_path: Path) -> None:
    async with run_server(tmp_path, "--log-level", "error") as running:
        host, port = running.address.removeprefix("http://").split(":")
        for nonsense in (b"nonsense\r\n\r\n", b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(nonsense)
            async with asyncio.timeout(5):
                assert (await reader.read()).startswith(b"HTTP/1.0 400")
            writer.close()
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
        assert running.log == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "abc"),
        ("demo", "--speed", "0"),
        ("demo", "--replay", "README.md"),
        ("--state-backend", "json"),
        ("nonsense",),
    ],
)
async def test_invalid_arguments_exit_2_with_one_sentence(
    arguments: tuple[str, ...],
) -> None:
    code, out, errors = await run("-m", "marianne_stream", *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("marianne-stream: ")


async def test_help_shows_settings_with_their_defaults() -> None:
    code, out, _ = await run("-m", "marianne_stream", "serve", "--help")
    assert code == 0
    words = " ".join(out.split())
    assert "--port N TCP port to listen on; 0 picks a free one." in words
    assert "default: 8765" in words
    assert "MARIANNE_STREAM_PORT" in words


async def test_demo_runs_without_a_conductor_and_removes_its_files(short_path: Path) -> None:
    # The user's own data is not the demo's place either.
    async with run_process(
        *("-m", "marianne_stream", "demo", "--port", 0, "--speed", 20),
        TMPDIR=str(short_path),
        XDG_STATE_HOME=str(short_path),
    ) as running:
        async with aiohttp.ClientSession() as session:
            url = f"{running.address}/api/roster/stream"
            async with open_viewer(session, url, poll_interval="0.1") as viewer:
                await wait_until(
                    lambda: (
                        {"completed", "failed", "paused", "cancelled"}
                        <= {
                            job["status"]
                            for data in viewer.event_data("roster")
                            for job in data["jobs"]
                        }
                    ),
                    timeout_s=20,
                )
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
        assert "path=/api/roster/stream " in running.log
        said = (
            "monitor subscribed",
            "server started",
            "stream closed reason=client_disconnect",
            "server stopping",
            "server stopped",
        )
        assert all(words in running.log for words in said), running.log
        assert running.log.count("\n") == len(said), running.log
    assert not await asyncio.to_thread(lambda: list(short_path.iterdir()))


async def test_demo_ignores_the_socket_of_a_service(short_path: Path) -> None:
    path = short_path / "http.sock"
    environment = {"MARIANNE_STREAM_UDS": str(path), "TMPDIR": str(short_path)}
    arguments = ("-m", "marianne_stream", "demo", "--port", 0)
    async with run_process(*arguments, pass_fds=(), **environment) as running:
        assert running.address.startswith("http://")
        await wait_until(lambda: "curl" in running.output)
        assert not path.exists()


async def test_demo_that_cannot_listen_exits_1_with_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    await asyncio.to_thread(folder.mkdir)
    code, out, errors = await run("-m", "marianne_stream", "demo", TMPDIR=str(folder))
    assert (code, out) == (1, "")
    assert errors.startswith("marianne-stream: the demo cannot listen at ")
    assert errors.endswith("AF_UNIX path too long\n")


async def test_demo_whose_player_fails_exits_1(short_path: Path) -> None:
    async with run_process(
        *("-m", "marianne_stream", "demo", "--port", 0, "--speed", 5), TMPDIR=str(short_path)
    ) as running:

        def a_log() -> Path | None:
            return next(short_path.rglob("marianne.log"), None)

        await wait_until(a_log)
        log = a_log()
        assert log is not None
        # The directory that a job writes to is replaced by a file.
        await asyncio.to_thread(shutil.rmtree, log.parent)
        await asyncio.to_thread(log.parent.touch)
        assert await running.wait() == 1
        assert "marianne-stream: the demo's jobs failed: " in running.log


async def test_json_log_format_has_one_object_a_line(tmp_path: Path) -> None:
    async with run_server(tmp_path, "--log-format", "json") as running:
        await wait_until(lambda: "monitor not subscribed" in running.log)
        entries = [json.loads(line) for line in running.log.splitlines()]
    assert all(set(entry) == {"time", "level", "logger", "message"} for entry in entries)
    levels = [each["level"] for each in entries if "monitor not subscribed" in each["message"]]
    assert levels == ["warning"]


async def test_conductor_stops_while_the_server_is_subscribed(
    tmp_path: Path,
) -> None:
    async with (
        run_conductor(tmp_path) as host,
        run_server(tmp_path, "--log-level", "info") as running,
    ):
        await wait_until(lambda: "monitor subscribed" in running.log)
        assert '"total":0' in await fetch_body(f"{running.address}/api/jobs")
        host.send_signal(signal.SIGTERM)
        assert await host.wait(timeout_s=5) == 0


async def test_conductor_stops_after_the_server_was_killed(tmp_path: Path) -> None:
    async with run_conductor(tmp_path) as host:
        async with run_server(tmp_path, "--log-level", "info") as running:
            await wait_until(lambda: "monitor subscribed" in running.log)
            running.send_signal(signal.SIGKILL)
            await running.wait()
        host.send_signal(signal.SIGTERM)
        assert await host.wait(timeout_s=5) == 0


async def test_low_file_limit_lowers_max_streams_with_a_warning(
    tmp_path: Path,
) -> None:
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300)); "
        "from marianne_stream.cli.main import main; sys.exit(main())"
    )
    place = ("--conductor-socket", tmp_path / "c.sock", "--registry-path", tmp_path / "state.db")
    async with run_process("-c", limited, "--port", 0, *place) as running:
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
    assert "max_streams reduced from=10000 to=44" in running.log
    assert "open_files_limit=300" in running.log
