"""Sessions outlast the process, end for good, and are known by no more than a digest."""

from pathlib import Path

import pytest

from marianne_stream.auth import session_store
from marianne_stream.auth.authenticator import Authenticator
from marianne_stream.auth.session_store import SessionStore
from marianne_stream.auth.tokens import Token, digest_secret
from marianne_stream.wire.job_patterns import ALL_JOBS

TOKEN = "whole-token-0123456789"


def keeper(folder: Path, *, max_age_s: float = 3600, tokens: str = TOKEN) -> Authenticator:
    known = tuple(Token(digest_secret(text), ALL_JOBS) for text in tokens.split())
    return Authenticator(lambda: known, SessionStore(folder, max_age_s=max_age_s))


def signed_in(keeper: Authenticator) -> str:
    session_id = keeper.create_session(TOKEN)
    assert session_id is not None
    return session_id


def test_a_session_outlasts_the_process(tmp_path: Path) -> None:
    session_id = signed_in(keeper(tmp_path))
    assert keeper(tmp_path).authenticate_session(session_id) is not None
    data = (tmp_path / "sessions.json").read_text()
    assert session_id not in data
    assert (tmp_path / "sessions.json").stat().st_mode & 0o777 == 0o600


def test_one_that_signs_out_is_out_in_every_process(tmp_path: Path) -> None:
    here, there = keeper(tmp_path), keeper(tmp_path)
    session_id = signed_in(here)
    grant = there.authenticate_session(session_id)
    assert grant is not None
    here.end_session(session_id)
    there.revoke_stale()
    assert grant.revoked
    assert here.authenticate_session(session_id) is there.authenticate_session(session_id) is None


def test_a_session_ends_by_itself(tmp_path: Path) -> None:
    old = keeper(tmp_path, max_age_s=-1)
    assert old.authenticate_session(signed_in(old)) is None


def test_a_session_ends_with_its_token(tmp_path: Path) -> None:
    session_id = signed_in(keeper(tmp_path))
    assert (
        keeper(tmp_path, tokens="another-token-0123456789").authenticate_session(session_id) is None
    )


def test_a_damaged_file_lets_nobody_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = keeper(tmp_path)
    session_id = signed_in(here)
    (tmp_path / "sessions.json").write_text("{")
    assert here.authenticate_session(session_id) is None
    assert "sessions cannot be read" in caplog.text
    assert here.authenticate_session(signed_in(here)) is not None


def test_a_folder_that_cannot_be_written_keeps_sessions_in_memory(tmp_path: Path) -> None:
    here = keeper(tmp_path / "none")
    assert here.authenticate_session(signed_in(here)) is not None


def test_a_logout_that_cannot_be_written_holds_and_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = keeper(tmp_path)
    one, other = signed_in(here), signed_in(here)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", full)
        here.end_session(one)
    assert here.authenticate_session(one) is None
    here.revoke_stale()
    assert keeper(tmp_path).authenticate_session(one) is None
    here.end_session(other)
    assert keeper(tmp_path).authenticate_session(other) is None
    assert {path.name for path in tmp_path.iterdir()} == {"sessions.json", "sessions.lock"}


def test_a_link_works_once(tmp_path: Path) -> None:
    here = keeper(tmp_path)
    old, new = here.issue_login_link(), here.issue_login_link()
    assert here.redeem_login_link(old) is None
    assert here.redeem_login_link(new) is not None
    assert here.redeem_login_link(new) is None


def test_who_signs_in_often_signs_out_nobody_but_himself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_store, "MAX_SESSIONS", 10)
    monkeypatch.setattr(session_store, "MAX_SESSIONS_PER_TOKEN", 3)
    for folder in (tmp_path, None, tmp_path / "cannot be written"):
        here = session_store.SessionStore(folder, max_age_s=3600)
        other = here.create("other token")
        own = [here.create("his token") for _ in range(12)]
        open_still = [here.get(one) is not None for one in own]
        assert open_still == [False] * 9 + [True] * 3
        assert here.get(other) is not None


def test_who_signs_out_without_a_session_has_nothing_written(tmp_path: Path) -> None:
    here = keeper(tmp_path)
    here.end_session("no session")
    assert list(tmp_path.iterdir()) == []
    session_id = signed_in(here)
    before = (tmp_path / "sessions.json").stat()
    here.end_session("no session")
    assert (tmp_path / "sessions.json").stat() == before
    here.end_session(session_id)
    assert here.authenticate_session(session_id) is None
