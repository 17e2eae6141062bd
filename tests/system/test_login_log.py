"""The server logs successful and failed logins with their address, never with a secret."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.processes import ManagedProcess, run_process
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until

TEAM, OLD = "team-token-0123456789", "old-token-0123456789"
NIGHT = "night-token-0123456789"
WRONG = "wrong-token-0123456789"


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Write a token file: one for all jobs, one restricted, one expired."""
    path = tmp_path / "tokens"
    path.write_text(
        f"{TEAM} name=team\n"
        f"{NIGHT} nightly-* rights=files expires=2999-01-01 name=night weekly\n"
        f"{OLD} name=old expires=2020-01-01T00:00:00Z\n"
    )
    path.chmod(0o600)
    return path


@pytest.fixture
async def auth_server(
    conductor: SimulatedConductor, tokens: Path, tmp_path: Path
) -> AsyncIterator[ManagedProcess]:
    """Run a server that requires a token; its settings are in a file."""
    del conductor
    config = tmp_path / "settings.toml"
    config.write_text(f'token_file = "{tokens}"\nport = 0\n')
    async with run_process(
        *("-m", "marianne_stream", "--config", config, "--data-dir", tmp_path / "private"),
        *("--conductor-socket", tmp_path / "c.sock", "--registry-path", tmp_path / "state.db"),
    ) as running:
        yield running


async def sign_in(session: aiohttp.ClientSession, address: str, token: str) -> int:
    """Submit the login form and return the status of the response."""
    form = {"token": token, "next": "/"}
    headers = {"Origin": address}
    url = f"{address}/login"
    async with session.post(url, data=form, headers=headers, allow_redirects=False) as answer:
        return answer.status


async def request_roster(session: aiohttp.ClientSession, address: str, token: str) -> int:
    """Request the roster with a token and return the status of the response."""
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(f"{address}/api/jobs", headers=headers) as answer:
        return answer.status


def browser() -> aiohttp.ClientSession:
    """Return a client that keeps cookies of an address."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


def logged_fields(log: str, event: str) -> list[str]:
    """Return the fields of each log line with an event."""
    return [line.partition(event)[2].strip() for line in log.splitlines() if event in line]


async def test_login_and_logout_are_logged_with_address_and_name(
    auth_server: ManagedProcess,
) -> None:
    async with browser() as person:
        assert await sign_in(person, auth_server.address, TEAM) == 303
        headers = {"Origin": auth_server.address}
        await person.post(f"{auth_server.address}/logout", headers=headers)
        # A second logout of the same session logs nothing.
        await person.post(f"{auth_server.address}/logout", headers=headers)
    await wait_until(lambda: "signed out" in auth_server.log)
    assert logged_fields(auth_server.log, "signed in") == [
        "address=127.0.0.1 token=team method=form"
    ]
    assert logged_fields(auth_server.log, "signed out") == ["address=127.0.0.1 token=team"]
    assert TEAM not in auth_server.log


async def test_failed_login_is_logged_with_a_reason(auth_server: ManagedProcess) -> None:
    async with browser() as person:
        assert await sign_in(person, auth_server.address, WRONG) == 401
        assert await sign_in(person, auth_server.address, OLD) == 401
        assert await request_roster(person, auth_server.address, WRONG) == 401
        assert await request_roster(person, auth_server.address, OLD) == 401
        async with person.get(f"{auth_server.address}/login?code=guessed") as answer:
            assert answer.status == 401
    await wait_until(lambda: "method=link" in auth_server.log)
    assert logged_fields(auth_server.log, "sign-in failed") == [
        "address=127.0.0.1 method=form reason=unknown_token",
        "address=127.0.0.1 method=form reason=expired_token token=old",
        "address=127.0.0.1 method=link reason=used_link",
    ]
    assert logged_fields(auth_server.log, "token refused") == [
        "address=127.0.0.1 reason=unknown_token",
        "address=127.0.0.1 reason=expired_token token=old",
    ]
    assert logged_fields(auth_server.log, "token expired") == ["token=old"]
    assert not any(token in auth_server.log for token in (WRONG, OLD, "guessed"))


async def test_repeated_failures_of_an_address_are_logged_once(
    auth_server: ManagedProcess,
) -> None:
    async with browser() as attacker, browser() as person:
        attempts = [
            asyncio.create_task(request_roster(attacker, auth_server.address, f"{WRONG}-{number}"))
            for number in range(60)
        ]
        # At most 20 requests of an address wait for their delayed answers.
        await wait_until(lambda: sum(attempt.done() for attempt in attempts) >= 40)
        assert await sign_in(person, auth_server.address, TEAM) == 303
        await wait_until(lambda: logged_fields(auth_server.log, "signed in"))
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
    assert len(logged_fields(auth_server.log, "token refused")) == 10


async def test_removed_token_is_logged_and_ends_its_streams(
    auth_server: ManagedProcess, tokens: Path
) -> None:
    async with browser() as person:
        assert await sign_in(person, auth_server.address, TEAM) == 303
        async with open_viewer(person, f"{auth_server.address}/api/roster/stream") as viewer:
            await viewer.wait_for("roster")
            tokens.write_text(f"{NIGHT} name=night\n")
            auth_server.send_signal(signal.SIGHUP)
            await viewer.wait_ended()
    await wait_until(lambda: "tokens reloaded" in auth_server.log)
    assert logged_fields(auth_server.log, "token revoked") == ["token=team", "token=old"]
    assert logged_fields(auth_server.log, "token changed") == ["token=night"]


async def test_expired_token_ends_its_sessions(auth_server: ManagedProcess, tokens: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=5)
    tokens.write_text(f"{TEAM} name=team expires={soon.isoformat()}\n")
    auth_server.send_signal(signal.SIGHUP)
    await wait_until(lambda: "tokens reloaded" in auth_server.log)
    async with browser() as person:
        assert await sign_in(person, auth_server.address, TEAM) == 303
        async with open_viewer(person, f"{auth_server.address}/api/roster/stream") as viewer:
            await viewer.wait_for("roster")
            await viewer.wait_ended()
        async with person.get(f"{auth_server.address}/api/jobs") as answer:
            assert answer.status == 401
    await wait_until(lambda: logged_fields(auth_server.log, "token expired") == ["token=team"])


async def test_start_and_stop_are_logged(auth_server: ManagedProcess, tmp_path: Path) -> None:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TEAM}"}) as session,
        open_viewer(session, f"{auth_server.address}/api/roster/stream") as viewer,
    ):
        await viewer.wait_for("roster")
        auth_server.send_signal(signal.SIGTERM)
        assert await auth_server.wait() == 0
    (started,) = logged_fields(auth_server.log, "server started")
    assert started.startswith("version=")
    assert f"settings_file={tmp_path}/settings.toml addresses={auth_server.address}" in started
    assert logged_fields(auth_server.log, "server stopping") == ["reason=SIGTERM streams=1"]
    assert len(logged_fields(auth_server.log, "server stopped")) == 1
