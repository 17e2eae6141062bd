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
async def guarded(
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


async def asked(session: aiohttp.ClientSession, address: str, token: str) -> int:
    """Request the roster with a token and return the status of the response."""
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(f"{address}/api/jobs", headers=headers) as answer:
        return answer.status


def browser() -> aiohttp.ClientSession:
    """Return a client that keeps cookies of an address."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


def said(log: str, event: str) -> list[str]:
    """Return the fields of each log line with an event."""
    return [line.partition(event)[2].strip() for line in log.splitlines() if event in line]


async def test_sign_in_and_sign_out_are_logged_with_address_and_name(
    guarded: ManagedProcess,
) -> None:
    async with browser() as person:
        assert await sign_in(person, guarded.address, TEAM) == 303
        headers = {"Origin": guarded.address}
        await person.post(f"{guarded.address}/logout", headers=headers)
        # A second logout of the same session logs nothing.
        await person.post(f"{guarded.address}/logout", headers=headers)
    await wait_until(lambda: "signed out" in guarded.log)
    assert said(guarded.log, "signed in") == ["address=127.0.0.1 token=team method=form"]
    assert said(guarded.log, "signed out") == ["address=127.0.0.1 token=team"]
    assert TEAM not in guarded.log


async def test_failures_are_logged_with_a_reason(guarded: ManagedProcess) -> None:
    async with browser() as person:
        assert await sign_in(person, guarded.address, WRONG) == 401
        assert await sign_in(person, guarded.address, OLD) == 401
        assert await asked(person, guarded.address, WRONG) == 401
        assert await asked(person, guarded.address, OLD) == 401
        async with person.get(f"{guarded.address}/login?code=guessed") as answer:
            assert answer.status == 401
    await wait_until(lambda: "method=link" in guarded.log)
    assert said(guarded.log, "sign-in failed") == [
        "address=127.0.0.1 method=form reason=unknown_token",
        "address=127.0.0.1 method=form reason=expired_token token=old",
        "address=127.0.0.1 method=link reason=used_link",
    ]
    assert said(guarded.log, "token refused") == [
        "address=127.0.0.1 reason=unknown_token",
        "address=127.0.0.1 reason=expired_token token=old",
    ]
    assert said(guarded.log, "token expired") == ["token=old"]
    assert not any(token in guarded.log for token in (WRONG, OLD, "guessed"))


async def test_attacker_cannot_fill_the_log_and_hides_no_one_else(guarded: ManagedProcess) -> None:
    async with browser() as attacker, browser() as person:
        attempts = [
            asyncio.create_task(asked(attacker, guarded.address, f"{WRONG}-{number}"))
            for number in range(60)
        ]
        # At most 20 requests of an address wait for their delayed answers.
        await wait_until(lambda: sum(attempt.done() for attempt in attempts) >= 40)
        assert await sign_in(person, guarded.address, TEAM) == 303
        await wait_until(lambda: said(guarded.log, "signed in"))
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
    assert len(said(guarded.log, "token refused")) == 10


async def test_token_that_is_taken_back_is_logged_and_ends_its_streams(
    guarded: ManagedProcess, tokens: Path
) -> None:
    async with browser() as person:
        assert await sign_in(person, guarded.address, TEAM) == 303
        async with open_viewer(person, f"{guarded.address}/api/roster/stream") as viewer:
            await viewer.wait_for("roster")
            tokens.write_text(f"{NIGHT} name=night\n")
            guarded.send_signal(signal.SIGHUP)
            await viewer.wait_ended()
    await wait_until(lambda: "read the tokens again" in guarded.log)
    assert said(guarded.log, "token revoked") == ["token=team", "token=old"]
    assert said(guarded.log, "token changed") == ["token=night"]


async def test_session_ends_when_its_token_expires(guarded: ManagedProcess, tokens: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=5)
    tokens.write_text(f"{TEAM} name=team expires={soon.isoformat()}\n")
    guarded.send_signal(signal.SIGHUP)
    await wait_until(lambda: "read the tokens again" in guarded.log)
    async with browser() as person:
        assert await sign_in(person, guarded.address, TEAM) == 303
        async with open_viewer(person, f"{guarded.address}/api/roster/stream") as viewer:
            await viewer.wait_for("roster")
            await viewer.wait_ended()
        async with person.get(f"{guarded.address}/api/jobs") as answer:
            assert answer.status == 401
    assert said(guarded.log, "token expired")[-1:] == ["token=team"]


async def test_start_and_stop_are_logged(guarded: ManagedProcess, tmp_path: Path) -> None:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TEAM}"}) as session,
        open_viewer(session, f"{guarded.address}/api/roster/stream") as viewer,
    ):
        await viewer.wait_for("roster")
        guarded.send_signal(signal.SIGTERM)
        assert await guarded.wait() == 0
    (started,) = said(guarded.log, "server started")
    assert started.startswith("version=")
    assert f"settings_file={tmp_path}/settings.toml addresses={guarded.address}" in started
    assert said(guarded.log, "server stopping") == ["reason=SIGTERM streams=1"]
    assert len(said(guarded.log, "server stopped")) == 1
