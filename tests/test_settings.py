"""Settings come from the command line, the environment, a file and the defaults, in that order."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from marianne_stream.errors import SettingsError
from marianne_stream.settings import REDIS_URLS, Settings, load
from marianne_stream.state.own_registry import default_registry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of settings."""
    path = tmp_path / "settings.toml"
    path.write_text('port = 1\nhost = "from-file"\nlog_level = "error"\n')
    return path


def test_each_place_wins_over_the_next(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARIANNE_STREAM_PORT", "2")
    monkeypatch.setenv("MARIANNE_STREAM_HOST", "from-environment")
    settings = load({"port": "3"}, file)
    assert settings.port == 3
    assert settings.host == "from-environment"
    assert settings.log_level == "error"
    assert settings.log_format == "text"


def test_the_defaults_are_those_of_a_conductor_on_the_same_machine() -> None:
    settings = load({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8765)
    assert settings.socket == Path("/tmp/marianne.sock")
    assert settings.registry is None
    assert (settings.state, settings.insecure) == ("auto", False)


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARIANNE_STREAM_PORT", "")
    assert load({}).port == 8765


def test_a_variable_that_is_no_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARIANNE_STREAM_REQUIRE", "all")
    assert load({}).port == 8765


def test_settings_cannot_be_changed() -> None:
    settings: Any = load({})
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_a_user_without_a_home_folder_can_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemd's DynamicUser= is one, where nothing asks systemd for users."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert default_registry(load({"private_dir": "/var/lib/own"}).socket) == Path(
        "~/.marianne/daemon-state.db"
    )
    with pytest.raises(SettingsError, match="--socket must be a path"):
        load({"socket": "~/c.sock", "private_dir": "/var/lib/own"})


def test_a_tilde_is_the_home_folder() -> None:
    assert load({"socket": "~/c.sock"}).socket == Path.home() / "c.sock"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("port", "abc", "--port must be a whole number from 0 to 65535, or none, got 'abc'"),
        ("port", "65536", "--port must be a whole number from 0 to 65535, or none, got '65536'"),
        ("port", "-1", "--port must be a whole number from 0 to 65535, or none, got '-1'"),
        ("port", True, "--port must be a whole number from 0 to 65535, or none, got True"),
        ("socket", "~nosuchuser/c", "--socket must be a path, got '~nosuchuser/c'"),
        ("host", "", "--host must be text that is not empty, got ''"),
        ("state", "x", "--state must be one of auto, conductor, registry, json, redis, got 'x'"),
        ("log_format", "x", "--log-format must be one of text, json, got 'x'"),
        ("insecure", "perhaps", "--insecure must be true or false, got 'perhaps'"),
        ("state", "redis", "state redis needs redis, the URL of the Redis that is read"),
        (
            "redis",
            "http://x",
            f"--redis must be {REDIS_URLS}, got 'http://x'",
        ),
        (
            "redis_sources",
            "a/b",
            "--redis-sources must be names of sources, divided by commas, got 'a/b'",
        ),
        ("state", "json", "state json needs state_dir, the folder of the JSON checkpoints"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({name: value})
    assert str(caught.value) == sentence


def test_a_bad_value_is_named_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.toml"
    path.write_text('port = "abc"')
    with pytest.raises(SettingsError, match=r"^port in .*x\.toml must be a whole number"):
        load({}, path)
    monkeypatch.setenv("MARIANNE_STREAM_PORT", "abc")
    with pytest.raises(SettingsError, match=r"^MARIANNE_STREAM_PORT must be a whole number"):
        load({}, path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"prot = 1", r"prot in .* is no setting; these are: host, port"),
        (b"port: 1", "is not TOML"),
        (b"\xff", "is not TOML"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: bytes | None, sentence: str) -> None:
    path = tmp_path / "x.toml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(SettingsError, match=sentence):
        load({}, path)


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())
