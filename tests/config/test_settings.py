"""Tests of the settings: sources, precedence, errors, renamed settings."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from marianne_stream.backends.registry_path import default_registry_path, find_clone_name
from marianne_stream.cli.commands import COMMANDS, make_parser
from marianne_stream.cli.main import main
from marianne_stream.cli.serve import format_options
from marianne_stream.config.loading import REDIS_URL_TEXT, RENAMED, load_settings, option_name
from marianne_stream.config.settings import Settings
from marianne_stream.errors import SettingsError

HOST_TEXT = "addresses or host names, separated by commas"
ROOT_PATH_TEXT = "a path of letters, digits and the characters . - _ ~, as /marianne"
BOTH_PATHS_TEXT = "both must be the path below which the proxy serves this server"


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    """Return a settings file."""
    path = tmp_path / "settings.toml"
    path.write_text('port = 1\nhost = "from-file"\nlog_level = "error"\n')
    return path


def test_command_line_overrides_environment_overrides_file(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARIANNE_STREAM_PORT", "2")
    monkeypatch.setenv("MARIANNE_STREAM_HOST", "from-environment")
    settings = load_settings({"port": "3"}, settings_file)
    assert settings.port == 3
    assert settings.host == ("from-environment",)
    assert settings.log_level == "error"
    assert settings.log_format == "text"


def test_defaults_are_for_a_local_conductor() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port) == (("127.0.0.1",), 8765)
    assert settings.conductor_socket == Path("/tmp/marianne.sock")
    assert settings.registry_path is None
    assert (settings.state_backend, settings.no_auth) == ("auto", False)


def test_empty_environment_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARIANNE_STREAM_PORT", "")
    assert load_settings({}).port == 8765


def test_unknown_environment_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARIANNE_STREAM_REQUIRE", "all")
    assert load_settings({}).port == 8765


def test_settings_are_frozen() -> None:
    settings: Any = load_settings({})
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_user_without_home_folder_can_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a user of systemd's DynamicUser=, without a home folder."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert default_registry_path(
        load_settings({"data_dir": "/var/lib/own"}).conductor_socket
    ) == Path("~/.marianne/daemon-state.db")
    with pytest.raises(SettingsError, match="--conductor-socket must be a path"):
        load_settings({"conductor_socket": "~/c.sock", "data_dir": "/var/lib/own"})


@pytest.mark.parametrize(
    ("socket", "name", "registry"),
    [
        ("marianne.sock", None, "daemon-state.db"),
        ("marianne-clone.sock", "", "clone-state.db"),
        ("marianne-clone-night_1.sock", "night_1", "clone-night_1-state.db"),
        ("marianne-clone-$(id).sock", None, "daemon-state.db"),
    ],
)
def test_socket_of_a_clone_names_it_and_its_registry(
    socket: str, name: str | None, registry: str
) -> None:
    path = Path("/tmp") / socket
    assert find_clone_name(path) == name
    assert default_registry_path(path) == Path.home() / ".marianne" / registry


def test_tilde_expands_to_home_folder() -> None:
    assert (
        load_settings({"conductor_socket": "~/c.sock"}).conductor_socket == Path.home() / "c.sock"
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("port", "abc", "--port must be an integer from 0 to 65535, or none, got 'abc'"),
        ("port", "65536", "--port must be an integer from 0 to 65535, or none, got '65536'"),
        ("port", "-1", "--port must be an integer from 0 to 65535, or none, got '-1'"),
        ("port", True, "--port must be an integer from 0 to 65535, or none, got True"),
        (
            "conductor_socket",
            "~nosuchuser/c",
            "--conductor-socket must be a path, got '~nosuchuser/c'",
        ),
        ("host", "", f"--host must be {HOST_TEXT}, got ''"),
        ("host", "[::1]:80", f"--host must be {HOST_TEXT}, got '[::1]:80'"),
        ("host", "::1,http://here", f"--host must be {HOST_TEXT}, got '::1,http://here'"),
        ("host", ["::1", ""], f"--host must be {HOST_TEXT}, got ['::1', '']"),
        (
            "state_backend",
            "x",
            "--state-backend must be one of auto, conductor, registry, json, redis, got 'x'",
        ),
        ("log_format", "x", "--log-format must be one of text, json, got 'x'"),
        ("no_auth", "perhaps", "--no-auth must be true or false, got 'perhaps'"),
        (
            "state_backend",
            "redis",
            "state_backend redis needs redis_url, the URL of the Redis to read from",
        ),
        (
            "redis_url",
            "http://x",
            f"--redis-url must be {REDIS_URL_TEXT}, got 'http://x'",
        ),
        (
            "sources",
            "a/b",
            "--sources must be names of sources, separated by commas, got 'a/b'",
        ),
        ("sources", "oak,elm,oak", "sources must name each source once, got oak,elm,oak"),
        ("root_path", "marianne", f"--root-path must be {ROOT_PATH_TEXT}, got 'marianne'"),
        ("root_path", "//x", f"--root-path must be {ROOT_PATH_TEXT}, got '//x'"),
        ("root_path", "/a/../b", f"--root-path must be {ROOT_PATH_TEXT}, got '/a/../b'"),
        ("root_path", "/a%2Fb", f"--root-path must be {ROOT_PATH_TEXT}, got '/a%2Fb'"),
        (
            "public_url",
            "https://watch.example.org/marianne/",
            "public_url has the path /marianne, and root_path is /: " + BOTH_PATHS_TEXT,
        ),
        (
            "state_backend",
            "json",
            "state_backend json needs checkpoint_dir, the folder of the JSON checkpoints",
        ),
    ],
)
def test_invalid_value_error_names_allowed_values(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: value})
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("root_path", "public_url"),
    [("/", "https://here"), ("/a/b.c/", "https://here/a/b.c"), ("/~a/b.c", "https://here/~a/b.c/")],
)
def test_root_path_agrees_with_public_url(root_path: str, public_url: str) -> None:
    settings = load_settings({"root_path": root_path, "public_url": public_url})
    assert settings.root_path == root_path.rstrip("/")
    with pytest.raises(SettingsError, match="public_url has the path /c, and root_path is"):
        load_settings({"root_path": root_path, "public_url": "https://here/c"})


def test_edge_without_sources_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"state_backend": "redis", "redis_url": "redis://here"})
    assert str(caught.value) == (
        "state_backend redis needs sources, the source_name of each origin to serve"
    )


def test_invalid_value_error_names_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.toml"
    path.write_text('port = "abc"')
    with pytest.raises(SettingsError, match=r"^port in .*x\.toml must be an integer"):
        load_settings({}, path)
    monkeypatch.setenv("MARIANNE_STREAM_PORT", "abc")
    with pytest.raises(SettingsError, match=r"^MARIANNE_STREAM_PORT must be an integer"):
        load_settings({}, path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"prot = 1", r"unknown setting prot in .*: did you mean port\?"),
        (b"zzz = 1", r"unknown setting zzz in .*: --help lists all settings"),
        (b"insecure = true", r"insecure in .* was renamed: use no_auth"),
        (b"port: 1", "is not TOML"),
        (b"\xff", "is not TOML"),
        (None, "cannot be read: No such file"),
    ],
)
def test_invalid_settings_file_is_rejected(
    tmp_path: Path, text: bytes | None, sentence: str
) -> None:
    path = tmp_path / "x.toml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(SettingsError, match=sentence):
        load_settings({}, path)


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_renamed_environment_variable_error_gives_new_name(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MARIANNE_STREAM_{old.upper()}", "1")
    with pytest.raises(SettingsError) as caught:
        load_settings({})
    assert str(caught.value) == (
        f"the environment variable MARIANNE_STREAM_{old.upper()} was renamed: "
        f"use MARIANNE_STREAM_{new.upper()}"
    )


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_renamed_option_error_gives_new_name(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["serve", option_name(old), "1"])
    assert f"{option_name(old)} was renamed: use {option_name(new)}" in capsys.readouterr().err


def test_renamed_negated_option_error_gives_new_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--no-insecure"])
    assert "--no-insecure was renamed: use --auth" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["watch", "--patience=3"])
    assert "--patience was renamed: use --retry-timeout" in capsys.readouterr().err


def test_list_is_taken_from_file_environment_and_repeated_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.toml"
    path.write_text('host = ["::1", "127.0.0.1"]')
    assert load_settings({}, path).host == ("::1", "127.0.0.1")
    monkeypatch.setenv("MARIANNE_STREAM_HOST", "127.0.0.2, ::1")
    assert load_settings({}, path).host == ("127.0.0.2", "::1")
    parser = make_parser("serve", COMMANDS["serve"].load())
    given = vars(parser.parse_args(["--host", "::1", "--host=127.0.0.3,127.0.0.4"]))
    assert load_settings({"host": given["host"]}).host == ("::1", "127.0.0.3", "127.0.0.4")
    # Workers get them as one option.
    assert format_options(given) == ["--host=::1,127.0.0.3,127.0.0.4"]


@pytest.mark.parametrize(
    ("option_text", "name", "value"),
    [
        ("--no-auth", "no_auth", True),
        ("--auth", "no_auth", False),
        ("--public-ready", "public_ready", True),
        ("--no-public-ready", "public_ready", False),
    ],
)
def test_switch_is_parsed_and_formatted_for_workers(
    option_text: str, name: str, *, value: bool
) -> None:
    parser = make_parser("serve", COMMANDS["serve"].load())
    given = vars(parser.parse_args([option_text]))
    assert given[name] is value
    assert format_options(given) == [option_text]
