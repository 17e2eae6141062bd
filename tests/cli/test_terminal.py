"""Which token is sent, and to whom."""

from pathlib import Path

import pytest

from marianne_stream.auth.token_source import ensure_token_source
from marianne_stream.cli.client_command import find_token
from marianne_stream.client.address import parse_server_address
from marianne_stream.errors import SettingsError

HERE = parse_server_address("http://127.0.0.1:8765")
ELSEWHERE = parse_server_address("https://watch.example.org")


@pytest.fixture(autouse=True)
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the server's own token, in which there is none yet."""
    for name in ("TOKEN", "TOKEN_FILE", "PRIVATE_DIR"):
        monkeypatch.delenv(f"MARIANNE_STREAM_{name}", raising=False)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "marianne-stream"


def file_of(folder: Path, text: str) -> Path:
    path = folder / "tokens"
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def test_the_servers_own_token_is_found_and_sent_to_this_machine_only(private: Path) -> None:
    token = ensure_token_source(None, private).read_unrestricted_token()
    assert find_token(HERE, None) == token
    assert find_token(parse_server_address("unix:/run/s.sock"), None) == token
    assert find_token(ELSEWHERE, None) is None


def test_no_token_is_made(private: Path) -> None:
    assert find_token(HERE, None) is None
    assert not private.exists()


def test_the_servers_folder_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARIANNE_STREAM_DATA_DIR", str(tmp_path / "other"))
    assert find_token(HERE, None) is None
    token = ensure_token_source(None, tmp_path / "other").read_unrestricted_token()
    assert find_token(HERE, None) == token


def test_what_is_named_wins_over_what_is_found(
    private: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_token_source(None, private)
    monkeypatch.setenv("MARIANNE_STREAM_TOKEN_FILE", str(file_of(tmp_path, "f" * 16)))
    assert find_token(ELSEWHERE, None) == find_token(HERE, None) == "f" * 16
    monkeypatch.setenv("MARIANNE_STREAM_TOKEN", "e" * 16)
    assert find_token(HERE, None) == "e" * 16
    assert find_token(HERE, tmp_path / "tokens") == "f" * 16


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("a" * 16 + " nightly-*\n# all\n" + "b" * 16, "b" * 16),
        ("a" * 16 + " nightly-*\n" + "b" * 16 + " weekly", "a" * 16),
    ],
)
def test_of_several_the_first_for_all_jobs_is_sent_else_the_first(
    tmp_path: Path, text: str, token: str
) -> None:
    assert find_token(ELSEWHERE, file_of(tmp_path, text)) == token


def test_what_is_no_token_is_a_sentence_that_does_not_hold_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MARIANNE_STREAM_TOKEN", "short")
    with pytest.raises(SettingsError, match="got 5 characters") as caught:
        find_token(ELSEWHERE, None)
    assert "short" not in str(caught.value)
