"""The server as a service: signals, tokens and listening sockets."""

import asyncio
import contextlib
import re
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.processes import run_process
from tests.support.server_restart import make_server_options
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until


async def test_second_signal_ends_the_server_at_once(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 1)
    options = (
        "--port",
        0,
        "--no-auth",
        "--drain-timeout-s",
        3600,
        "--max-streams-per-address",
        1000,
    )
    async with (
        run_process("-m", "marianne_stream", *make_server_options(tmp_path), *options) as running,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        url = f"{running.address}/api/roster/stream"
        answers = [await session.get(url) for _ in range(300)]
        running.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
        for answer in answers:
            answer.close()


async def test_drain_timeout_zero_ends_all_streams_at_once(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 1)
    options = ("--port", 0, "--no-auth", "--drain-timeout-s", 0)
    async with (
        run_process("-m", "marianne_stream", *make_server_options(tmp_path), *options) as running,
        aiohttp.ClientSession() as session,
        open_viewer(session, f"{running.address}/api/roster/stream") as viewer,
    ):
        await viewer.wait_for("roster")
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
        await viewer.wait_ended()


async def test_server_without_a_token_generates_one_and_prints_a_one_time_link(
    tmp_path: Path,
) -> None:
    async with run_process(
        "-m", "marianne_stream", *make_server_options(tmp_path), "--port", 0
    ) as running:
        await wait_until(lambda: "/login?code=" in running.output)
        link = running.output.split()[-1]
        token = (tmp_path / "token").read_text().strip()
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as browser:
            async with browser.get(link) as response:
                assert response.status == 200
                assert "code" not in str(response.url)
            async with browser.get(f"{running.address}/openapi.json") as response:
                assert response.status == 200
        async with aiohttp.ClientSession() as other:
            async with other.get(link) as response:
                assert response.status == 401
            head = {"Authorization": f"Bearer {token}"}
            async with other.get(f"{running.address}/openapi.json", headers=head) as response:
                assert response.status == 200
        arguments = ("-m", "marianne_stream", "token", "--data-dir", tmp_path)
        async with run_process(*arguments) as printing:
            assert printing.first_line.strip() == token
        assert token not in running.log + running.output


async def test_sighup_reloads_tokens_and_log_level(tmp_path: Path) -> None:
    tokens, config = tmp_path / "tokens", tmp_path / "settings.toml"
    tokens.write_text("first-token-0123456789\n")
    tokens.chmod(0o600)
    config.write_text(f'token_file = "{tokens}"\nlog_level = "warning"\n')
    arguments = (
        "-m",
        "marianne_stream",
        *make_server_options(tmp_path),
        "--port",
        0,
        "--config",
        config,
    )
    async with run_process(*arguments) as running, aiohttp.ClientSession() as session:

        async def status(token: str) -> int:
            head = {"Authorization": f"Bearer {token}"}
            async with session.get(f"{running.address}/openapi.json", headers=head) as response:
                return response.status

        assert await status("first-token-0123456789") == 200
        tokens.write_text("short\n")
        running.send_signal(signal.SIGHUP)
        await wait_until(lambda: "reload failed" in running.log)
        assert await status("first-token-0123456789") == 200
        tokens.write_text("second-token-0123456789\n")
        config.write_text(config.read_text().replace("warning", "info"))
        running.send_signal(signal.SIGHUP)
        await wait_until(lambda: "tokens reloaded" in running.log)
        assert await status("first-token-0123456789") == 401
        assert await status("second-token-0123456789") == 200


def server_arguments(folder: Path, *lines: str) -> tuple[object, ...]:
    """Return the arguments of a server with these tokens."""
    tokens = folder / "tokens"
    tokens.write_text("".join(f"{line}\n" for line in lines))
    tokens.chmod(0o600)
    return (
        "-m",
        "marianne_stream",
        *make_server_options(folder),
        "--port",
        0,
        "--token-file",
        tokens,
    )


async def test_sighup_ends_only_streams_of_removed_tokens(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 1)
    kept, taken = "kept-token-0123456789", "taken-token-0123456789"

    def bearer(token: str) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})

    async with (
        run_process(*server_arguments(tmp_path, kept, taken)) as running,
        bearer(kept) as keeper,
        bearer(taken) as other,
        open_viewer(keeper, f"{running.address}/api/events/stream") as stays,
        open_viewer(other, f"{running.address}/api/events/stream") as ends,
        open_viewer(other, f"{running.address}/api/jobs/a/stream") as ends_too,
    ):
        await wait_until(lambda: all(viewer.events for viewer in (stays, ends, ends_too)))
        server_arguments(tmp_path, kept)
        running.send_signal(signal.SIGHUP)
        await ends.wait_ended(timeout_s=5)
        await ends_too.wait_ended(timeout_s=5)
        async with other.get(f"{running.address}/api/jobs") as response:
            assert response.status == 401
        conductor.emit("a", "sheet.said", {})
        await stays.wait_for("sheet.said")


async def test_cookie_after_logout_is_rejected(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    """Its streams end; neither this process nor the next accepts it; other sessions stay."""
    conductor.launch("a", 1)
    token = "whole-token-0123456789"
    arguments = server_arguments(tmp_path, token)
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        )

        async def signed_in() -> dict[str, str]:
            headers = {"Origin": running.address}
            form = {"token": token}
            async with session.post(f"{running.address}/login", json=form, headers=headers) as done:
                assert done.status == 204
                cookie = next(iter(done.cookies.values()))
            return {"Cookie": f"{cookie.key}={cookie.value}"}

        async def status(cookie: dict[str, str]) -> int:
            async with session.get(f"{running.address}/api/jobs", headers=cookie) as response:
                return response.status

        async with run_process(*arguments) as running:
            stolen, other = await signed_in(), await signed_in()
            thief = await stack.enter_async_context(aiohttp.ClientSession(headers=stolen))
            async with open_viewer(thief, f"{running.address}/api/roster/stream") as viewer:
                await viewer.wait_for("roster")
                headers = {"Origin": running.address, **stolen}
                async with session.post(
                    f"{running.address}/logout", headers=headers, allow_redirects=False
                ) as done:
                    assert done.status == 303
                await viewer.wait_ended(timeout_s=5)
            assert (await status(stolen), await status(other)) == (401, 200)
            port = running.address.rpartition(":")[2]
            running.send_signal(signal.SIGTERM)
            assert await running.wait() == 0
        # The cookie's name contains the port.
        async with run_process(*arguments, "--port", port) as running:
            assert (await status(stolen), await status(other)) == (401, 200)


async def test_sighup_ends_only_downloads_of_removed_tokens(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    (workspace := tmp_path / "ws").mkdir()
    (workspace / "marianne.log").write_bytes((b"x" * 999 + b"\n") * 40_000)
    conductor.launch("a", 1, workspace=str(workspace))
    kept, taken = "kept-token-0123456789", "taken-token-0123456789"
    # Far more than the transport and the kernel buffer.
    session = aiohttp.ClientSession(read_bufsize=4096)
    async with run_process(*server_arguments(tmp_path, kept, taken)) as running, session:

        async def begun(token: str, kind: str) -> aiohttp.ClientResponse:
            headers = {"Authorization": f"Bearer {token}"}
            url = f"{running.address}/api/jobs/a/logs/{kind}"
            answer = await session.get(url, headers=headers)
            assert answer.status == 200
            return answer

        async def open_downloads() -> int:
            headers = {"Authorization": f"Bearer {kept}"}
            async with session.get(f"{running.address}/metrics", headers=headers) as answer:
                found = re.search(r"open_downloads ([\d.]+)", await answer.text())
            assert found
            return int(float(found[1]))

        ending = [await begun(taken, kind) for kind in ("raw", "static")]
        going_on = [await begun(kept, kind) for kind in ("raw", "static")]
        (tmp_path / "tokens").write_text(f"{kept}\n")
        running.send_signal(signal.SIGHUP)
        await wait_until(lambda: "tokens reloaded" in running.log)
        for _ in range(1000):
            if await open_downloads() == 2:
                break
            await asyncio.sleep(0.01)
        for answer in ending:
            with pytest.raises(aiohttp.ClientError):
                await answer.read()
        for answer in going_on:
            assert len(await answer.read()) >= 40_000_000
    assert "ERROR" not in running.log


async def test_no_auth_on_a_public_address_is_refused(tmp_path: Path) -> None:
    options = ("--no-auth", "--host", "0.0.0.0", "--port", 0)
    async with run_process(
        "-m", "marianne_stream", *make_server_options(tmp_path), *options
    ) as running:
        assert await running.wait() == 2
    assert "other machines can reach" in running.log


async def test_unix_socket_is_created_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    options = ("--uds", path, "--port", "none", "--no-auth", "--uds-mode", "0600")
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    async with run_process(
        "-m", "marianne_stream", *make_server_options(tmp_path), *options
    ) as running:
        assert running.address == f"unix:{path}"
        assert path.stat().st_mode & 0o777 == 0o600
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            session.get("http://localhost/health") as response,
        ):
            assert response.status == 200
        async with run_process(
            "-m", "marianne_stream", *make_server_options(tmp_path), *options
        ) as second:
            assert await second.wait() == 1
        assert "another process listens there" in second.log
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
    assert not path.exists()


async def test_failed_task_ends_the_process_with_a_critical_line(tmp_path: Path) -> None:
    script = """
import sys
from marianne_stream.auth.authenticator import Authenticator
from marianne_stream.cli.main import main
def revoke_stale(self): raise ZeroDivisionError("a fault of ours")
Authenticator.revoke_stale = revoke_stale
sys.exit(main(sys.argv[1:]))
"""
    async with run_process("-c", script, *make_server_options(tmp_path), "--port", 0) as running:
        assert await running.wait() == 1
    last = running.log.strip().splitlines()[-1]
    assert "CRITICAL" in last
    assert "a fault of ours" in last
