"""Token files: private, parsed, and generated."""

import os
from pathlib import Path

import pytest

from marianne_stream.auth.token_source import ensure_token_source
from marianne_stream.auth.tokens import (
    match_token,
    read_preferred_token,
    read_tokens,
)
from marianne_stream.errors import SettingsError

WHOLE, NARROW = "whole-token-0123456789", "narrow-token-0123456789"


def write_token_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "tokens"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_token_line_has_token_and_job_patterns(tmp_path: Path) -> None:
    path = write_token_file(tmp_path, f"# of the team\n\n{WHOLE}\n  {NARROW} nightly-* weekly \n")
    tokens = tuple(read_tokens(path).values())
    whole, narrow = match_token(tokens, WHOLE), match_token(tokens, NARROW)
    assert whole is not None
    assert whole.job_scope("anything")
    assert narrow is not None
    assert [narrow.job_scope(job) for job in ("nightly-1", "weekly", "weekly-2", "a")] == [
        *(True, True),
        *(False, False),
    ]
    assert match_token(tokens, WHOLE[:-1]) is None
    assert match_token(tokens, "") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_token_file_readable_by_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_token_file(tmp_path, WHOLE, mode)
    with pytest.raises(SettingsError, match=f"mode 0{mode:o}"):
        read_tokens(path)


def test_token_file_without_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no tokens in"):
        read_tokens(write_token_file(tmp_path, "# none\n"))


@pytest.mark.parametrize("text", ["short\n", "ü" * 20, f"{WHOLE}\n{WHOLE} a\n"])
def test_invalid_token_line_error_names_line_without_token(tmp_path: Path, text: str) -> None:
    path = write_token_file(tmp_path, text)
    with pytest.raises(SettingsError, match=r"line [12] of") as raised:
        read_tokens(path)
    assert text.split(maxsplit=1)[0] not in str(raised.value)


def test_token_path_that_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none"):
        with pytest.raises(SettingsError):
            read_tokens(path)


def test_generated_token_is_created_once_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    first, second = (ensure_token_source(None, tmp_path / "own") for _ in range(2))
    assert first.is_generated
    assert first.read_preferred_token() == second.read_preferred_token()
    assert len(first.read_preferred_token().text) >= 40
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert first.path.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in first.path.parent.iterdir()] == ["token"]


def test_systemd_credential_is_accepted_with_any_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    path = write_token_file(tmp_path, WHOLE, 0o440)
    for named in (None, path):
        assert ensure_token_source(named, tmp_path / "own").read_preferred_token().text == WHOLE
    assert not (tmp_path / "own").exists()


def test_token_file_beside_credentials_is_checked_for_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "unit"))
    place = ensure_token_source(write_token_file(tmp_path, WHOLE, 0o440), tmp_path / "own")
    with pytest.raises(SettingsError, match="mode 0440"):
        place.read()


def test_token_options_among_patterns_are_parsed(tmp_path: Path) -> None:
    path = write_token_file(
        tmp_path, f"{WHOLE}\n{NARROW} a-* name=night rights=files expires=2026-12-31T18:00Z b\n"
    )
    whole, narrow = read_tokens(path).values()
    assert (whole.name, whole.rights, whole.expires_at_s) == ("line-1", frozenset({"files"}), None)
    assert (narrow.name, narrow.rights) == ("night", frozenset({"files"}))
    assert narrow.expires_at_s == 1798740000
    assert narrow.job_scope.patterns == ("a-*", "b")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ("expire=2026", "may have the options name=, rights=, expires=, got expire="),
        ("a=b", "got a="),
        (f"{NARROW}=", "got one of 24 characters; in a pattern, . stands for ="),
        ("expires=soon", "expires= must be a date or a time in ISO 8601"),
        ("expires=", "expires= must be a date"),
        ("rights=all", "rights= must be none or a comma-separated list of: files"),
        ("name=a/b", "name= must have 1 to 64"),
        ("name=a name=b", "has name= twice"),
    ],
)
def test_invalid_token_option_is_named(tmp_path: Path, options: str, fault: str) -> None:
    path = write_token_file(tmp_path, f"# tokens\n{WHOLE} {options}\n")
    with pytest.raises(SettingsError, match=fault) as raised:
        read_tokens(path)
    assert f"line 2 of {path}" in str(raised.value)
    assert WHOLE not in str(raised.value)
    assert NARROW not in str(raised.value)


def test_duplicate_token_name_is_refused(tmp_path: Path) -> None:
    path = write_token_file(tmp_path, f"{WHOLE} name=a\n{NARROW} name=a\n")
    with pytest.raises(SettingsError, match=r"line 2 of .* repeats a name of an earlier line"):
        read_tokens(path)


def test_preferred_token_is_not_expired(tmp_path: Path) -> None:
    path = write_token_file(tmp_path, f"{WHOLE} expires=2020-01-01\n{NARROW}\n")
    assert read_preferred_token(path).text == NARROW


def test_preferred_token_is_the_first_for_all_jobs(tmp_path: Path) -> None:
    path = write_token_file(tmp_path, f"{NARROW} nightly-*\n{WHOLE}\n{WHOLE}-2\n")
    assert read_preferred_token(path).text == WHOLE
    path = write_token_file(tmp_path, f"{WHOLE} expires=2020-01-01\n{NARROW} nightly-*\n")
    assert read_preferred_token(path).text == NARROW
