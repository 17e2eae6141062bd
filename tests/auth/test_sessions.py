"""Sessions outlast the process, end for good, and are stored as hashes."""

import asyncio
import os
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web

from marianne_stream.app import create_app
from marianne_stream.auth import session_store
from marianne_stream.auth.authenticator import Authenticator
from marianne_stream.auth.session_store import DATABASE_FILENAME, SessionStore
from marianne_stream.auth.token_source import TokenSource
from marianne_stream.auth.tokens import digest_secret
from marianne_stream.backends.fallback import FallbackBackend
from marianne_stream.config.settings import Settings

TOKEN = "whole-token-0123456789"

OpenAuthenticator = Callable[..., Awaitable[Authenticator]]


@pytest.fixture
async def open_authenticator(tmp_path: Path) -> AsyncIterator[OpenAuthenticator]:
    """Return a function that opens authenticators with one data directory, as processes do."""
    opened: list[Authenticator] = []

    async def open_one(
        data_dir: Path = tmp_path, *, max_age_s: float = 3600, tokens: str = TOKEN
    ) -> Authenticator:
        token_file = tmp_path / f"tokens {len(opened)}"
        token_file.write_text("".join(f"{text} name={text}\n" for text in tokens.split()))
        token_file.chmod(0o600)
        store = SessionStore(data_dir, max_age_s=max_age_s)
        authenticator = Authenticator(TokenSource(token_file), store)
        await authenticator.session_store.open()
        opened.append(authenticator)
        return authenticator

    yield open_one
    for authenticator in opened:
        await authenticator.session_store.close()


async def sign_in(authenticator: Authenticator) -> str:
    session = await authenticator.create_session(TOKEN)
    assert session is not None
    session_id, token_name = session
    assert token_name == TOKEN
    return session_id


def connect(data_dir: Path) -> closing[sqlite3.Connection]:
    """Open the database as another program, in autocommit mode."""
    return closing(sqlite3.connect(data_dir / DATABASE_FILENAME, isolation_level=None))


async def test_session_after_restart_is_valid_and_stored_as_hash(
    open_authenticator: OpenAuthenticator, tmp_path: Path
) -> None:
    session_id = await sign_in(await open_authenticator())
    assert await (await open_authenticator()).authenticate_session(session_id) is not None
    files = list(tmp_path.glob(f"{DATABASE_FILENAME}*"))
    assert len(files) == 3
    for path in files:
        assert session_id.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
    with connect(tmp_path) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("SELECT digest FROM sessions").fetchall() == [
            (digest_secret(session_id),)
        ]


async def test_logout_ends_session_in_every_process(open_authenticator: OpenAuthenticator) -> None:
    here, there = await open_authenticator(), await open_authenticator()
    session_id = await sign_in(here)
    grant = await there.authenticate_session(session_id)
    assert grant is not None
    assert await here.end_session(session_id) == TOKEN
    assert await there.authenticate_session(session_id) is None
    await there.revoke_stale()
    assert not grant.is_valid
    assert await here.authenticate_session(session_id) is None


async def test_session_older_than_limit_is_invalid(open_authenticator: OpenAuthenticator) -> None:
    authenticator = await open_authenticator(max_age_s=-1)
    assert await authenticator.authenticate_session(await sign_in(authenticator)) is None


async def test_expired_session_revokes_its_grant(open_authenticator: OpenAuthenticator) -> None:
    authenticator = await open_authenticator(max_age_s=0.5)
    grant = await authenticator.authenticate_session(await sign_in(authenticator))
    assert grant is not None
    await authenticator.revoke_stale()
    assert grant.is_valid
    await asyncio.sleep(0.6)
    await authenticator.revoke_stale()
    assert not grant.is_valid


async def test_removed_token_ends_its_sessions(open_authenticator: OpenAuthenticator) -> None:
    session_id = await sign_in(await open_authenticator())
    other = await open_authenticator(tokens="another-token-0123456789")
    assert await other.authenticate_session(session_id) is None


async def test_damaged_database_keeps_new_sessions_in_memory(
    open_authenticator: OpenAuthenticator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / DATABASE_FILENAME).write_text("no database" * 1000)
    authenticator = await open_authenticator()
    session_id = await sign_in(authenticator)
    assert await authenticator.authenticate_session(session_id) is not None
    await authenticator.end_session(session_id)
    assert await authenticator.authenticate_session(session_id) is None
    assert len(caplog.records) == 1
    assert "sessions kept in memory" in caplog.text


async def test_database_damaged_while_open_invalidates_its_sessions(
    open_authenticator: OpenAuthenticator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authenticator = await open_authenticator()
    session_id = await sign_in(authenticator)
    grant = await authenticator.authenticate_session(session_id)
    assert grant is not None
    with connect(tmp_path) as database:
        database.execute("DROP TABLE sessions")
    assert await authenticator.authenticate_session(session_id) is None
    await authenticator.revoke_stale()
    assert not grant.is_valid
    assert len(caplog.records) == 1
    assert "sessions not readable" in caplog.text
    assert await authenticator.authenticate_session(await sign_in(authenticator)) is not None


async def test_directory_that_cannot_be_created_keeps_sessions_in_memory(
    open_authenticator: OpenAuthenticator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    authenticator = await open_authenticator(tmp_path / "file" / "data")
    session_id = await sign_in(authenticator)
    grant = await authenticator.authenticate_session(session_id)
    assert grant is not None
    await authenticator.revoke_stale()
    assert grant.is_valid
    assert len(caplog.records) == 1
    assert "sessions kept in memory" in caplog.text


async def test_sessions_are_saved_once_database_can_be_opened(
    open_authenticator: OpenAuthenticator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    authenticator = await open_authenticator(blocker / "data")
    session_id = await sign_in(authenticator)
    await authenticator.revoke_stale()
    blocker.unlink()
    await authenticator.revoke_stale()
    restarted = await open_authenticator(blocker / "data")
    assert await restarted.authenticate_session(session_id) is not None
    assert caplog.text.count("sessions kept in memory") == 1


async def test_open_waits_for_process_that_sets_up_the_database(
    open_authenticator: OpenAuthenticator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(tmp_path) as database:
        database.execute("BEGIN IMMEDIATE")
        opening = asyncio.ensure_future(open_authenticator())
        await asyncio.sleep(0.1)
        database.execute("COMMIT")
        session_id = await sign_in(await opening)
    assert await (await open_authenticator()).authenticate_session(session_id) is not None
    assert not caplog.records


async def test_changes_while_database_is_locked_hold_and_are_saved_later(
    open_authenticator: OpenAuthenticator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(session_store, "BUSY_TIMEOUT_S", 0.01)
    here, there = await open_authenticator(), await open_authenticator()
    ended = await sign_in(here)
    with connect(tmp_path) as database:
        database.execute("BEGIN IMMEDIATE")
        await here.end_session(ended)
        begun = await sign_in(here)
        assert await here.authenticate_session(ended) is None
        assert await here.authenticate_session(begun) is not None
        assert await there.authenticate_session(ended) is not None
        assert await there.authenticate_session(begun) is None
        assert caplog.text.count("sessions not saved") == 1
    await here.revoke_stale()
    assert await there.authenticate_session(ended) is None
    assert await there.authenticate_session(begun) is not None


async def test_changes_while_database_is_locked_are_saved_at_close(
    open_authenticator: OpenAuthenticator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_store, "BUSY_TIMEOUT_S", 0.01)
    authenticator = await open_authenticator()
    ended = await sign_in(authenticator)
    with connect(tmp_path) as database:
        database.execute("BEGIN IMMEDIATE")
        await authenticator.end_session(ended)
        begun = await sign_in(authenticator)
    await authenticator.session_store.close()
    restarted = await open_authenticator()
    assert await restarted.authenticate_session(ended) is None
    assert await restarted.authenticate_session(begun) is not None


async def test_login_link_works_once(open_authenticator: OpenAuthenticator) -> None:
    authenticator = await open_authenticator()
    old, new = authenticator.issue_login_link(), authenticator.issue_login_link()
    assert await authenticator.redeem_login_link(old) is None
    assert await authenticator.redeem_login_link(new) is not None
    assert await authenticator.redeem_login_link(new) is None


async def test_session_limits_drop_oldest_of_same_token_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_store, "MAX_SESSIONS", 10)
    monkeypatch.setattr(session_store, "MAX_SESSIONS_PER_TOKEN", 3)
    (tmp_path / "file").write_text("")
    for data_dir in (tmp_path, None, tmp_path / "file" / "data"):
        store = SessionStore(data_dir, max_age_s=3600)
        await store.open()
        other = await store.create("other token")
        own = [await store.create("own token") for _ in range(12)]
        valid = [await store.get(session_id) is not None for session_id in own]
        assert valid == [False] * 9 + [True] * 3
        assert await store.get(other) is not None
        await store.close()


async def test_session_limit_in_total_drops_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_store, "MAX_SESSIONS", 3)
    for data_dir in (tmp_path, None):
        store = SessionStore(data_dir, max_age_s=3600)
        await store.open()
        sessions = [await store.create(f"token {number}") for number in range(5)]
        valid = [await store.get(session_id) is not None for session_id in sessions]
        assert valid == [False] * 2 + [True] * 3
        await store.close()


async def test_logout_without_session_writes_nothing(
    open_authenticator: OpenAuthenticator, tmp_path: Path
) -> None:
    authenticator = await open_authenticator()
    session_id = await sign_in(authenticator)
    with connect(tmp_path) as database:
        version = database.execute("PRAGMA data_version").fetchone()
        assert await authenticator.end_session("no session") is None
        assert database.execute("PRAGMA data_version").fetchone() == version
        await authenticator.end_session(session_id)
        assert database.execute("PRAGMA data_version").fetchone() != version
    assert await authenticator.authenticate_session(session_id) is None


WORKER = """
import asyncio, sys
from pathlib import Path
from marianne_stream.auth.session_store import SessionStore
async def main():
    store = SessionStore(Path(sys.argv[1]), max_age_s=3600)
    sys.stdin.readline()
    await store.open()
    kept = [await store.create("token") for _ in range(20)]
    gone = [await store.create("token") for _ in range(20)]
    for session_id in gone:
        await store.revoke(await store.get(session_id))
    await store.close()
    print(*kept, flush=True)
asyncio.run(main())
"""


async def test_processes_share_sessions_from_the_first_moment(tmp_path: Path) -> None:
    command = (sys.executable, "-c", WORKER, str(tmp_path / "data"))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    workers = [
        await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
        )
        for _ in range(4)
    ]
    results = await asyncio.gather(*(worker.communicate(b"\n") for worker in workers))
    assert [errors for _, errors in results] == [b""] * len(workers)
    store = SessionStore(tmp_path / "data", max_age_s=3600)
    await store.open()
    for output, _ in results:
        sessions = output.decode().split()
        assert len(sessions) == 20
        for session_id in sessions:
            assert await store.get(session_id) is not None
    await store.close()
    with connect(tmp_path / "data") as database:
        assert database.execute("SELECT count(*) FROM sessions").fetchone() == (80,)


async def test_store_is_closed_if_another_component_fails_to_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = asyncio.Event()

    async def fail(_backend: FallbackBackend) -> None:
        raise OSError("the backend cannot be closed")

    async def close(store: SessionStore) -> None:
        await close_store(store)
        closed.set()

    close_store = SessionStore.close
    monkeypatch.setattr(FallbackBackend, "close", fail)
    monkeypatch.setattr(SessionStore, "close", close)
    runner = web.AppRunner(create_app(Settings(data_dir=tmp_path, history="none")))
    await runner.setup()
    with pytest.raises(OSError, match="cannot be closed"):
        await runner.cleanup()
    assert closed.is_set()
