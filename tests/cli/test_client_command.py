"""Tests of token lookup: which token a client command sends, and to which servers."""

from pathlib import Path

import pytest

from marianne_stream.auth.token_source import ensure_token_source
from marianne_stream.cli.client_command import find_token
from marianne_stream.client.address import parse_server_address
from marianne_stream.errors import SettingsError

LOCAL = parse_server_address("http://127.0.0.1:8765")
REMOTE = parse_server_address("https://watch.example.org")


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data_dir without a token."""
    for name in ("TOKEN", "TOKEN_FILE", "DATA_DIR"):
        monkeypatch.delenv(f"MARIANNE_STREAM_{name}", raising=False)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "marianne-stream"


def write_token_file(folder: Path, text: str) -> Path:
    path = folder / "tokens"
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def test_generated_token_is_sent_to_local_servers_only(data_dir: Path) -> None:
    token = ensure_token_source(None, data_dir).read_preferred_token().text
    assert find_token(LOCAL, None) == token
    assert find_token(parse_server_address("unix:/run/s.sock"), None) == token
    assert find_token(REMOTE, None) is None


def test_find_token_generates_no_token(data_dir: Path) -> None:
    assert find_token(LOCAL, None) is None
    assert not data_dir.exists()


def test_find_token_uses_data_dir_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARIANNE_STREAM_DATA_DIR", str(tmp_path / "other"))
    assert find_token(LOCAL, None) is None
    token = ensure_token_source(None, tmp_path / "other").read_preferred_token().text
    assert find_token(LOCAL, None) == token


def test_configured_token_overrides_generated_token(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_token_source(None, data_dir)
    monkeypatch.setenv("MARIANNE_STREAM_TOKEN_FILE", str(write_token_file(tmp_path, "f" * 16)))
    assert find_token(REMOTE, None) == find_token(LOCAL, None) == "f" * 16
    monkeypatch.setenv("MARIANNE_STREAM_TOKEN", "e" * 16)
    assert find_token(LOCAL, None) == "e" * 16
    assert find_token(LOCAL, tmp_path / "tokens") == "f" * 16


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("a" * 16 + " nightly-*\n# all\n" + "b" * 16, "b" * 16),
        ("a" * 16 + " nightly-*\n" + "b" * 16 + " weekly", "a" * 16),
    ],
)
def test_token_file_prefers_first_unrestricted_token(tmp_path: Path, text: str, token: str) -> None:
    assert find_token(REMOTE, write_token_file(tmp_path, text)) == token


def test_invalid_token_error_does_not_contain_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MARIANNE_STREAM_TOKEN", "short")
    with pytest.raises(SettingsError, match="got 5 characters") as caught:
        find_token(REMOTE, None)
    assert "short" not in str(caught.value)
