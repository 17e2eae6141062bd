"""Loading of the settings, and their description for help, errors and the reference.

The command line overrides the environment, which overrides the file, which overrides the defaults.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from marianne_stream.auth.token_source import is_credential
from marianne_stream.config.settings import ENV_PREFIX, Settings
from marianne_stream.errors import SettingsError
from marianne_stream.notify.rules import Rule
from marianne_stream.wire.redis_urls import redact_url

# Names of settings before 0.1.0. Using one is an error that gives the new name.
RENAMED = {
    "unix": "uds",
    "unix_mode": "uds_mode",
    "socket": "conductor_socket",
    "state": "state_backend",
    "registry": "registry_path",
    "state_dir": "checkpoint_dir",
    "private_dir": "data_dir",
    "log_watch": "job_log_watch",
    "log_poll_interval": "job_log_poll_interval_s",
    "download_limit_bytes": "max_download_bytes",
    "max_head_bytes": "max_header_bytes",
    "open_ready": "public_ready",
    "open_metrics": "public_metrics",
    "drain_s": "drain_timeout_s",
    "idle_timeout": "idle_timeout_s",
    "session_max_age": "session_max_age_s",
    "publish": "publish_url",
    "origin_url": "public_url",
    "redis": "redis_url",
    "redis_sources": "sources",
    "redis_log_lines": "redis_log_max_lines",
    "redis_log_age": "redis_log_ttl_s",
    "insecure": "no_auth",
}

# Settings that only the TOML file may have.
FILE_SETTINGS = frozenset({"notifications"})

RULE_FIELDS = tuple(field.name for field in fields(Rule))

SECRET_URLS = {"publish_url", "redis_url"}

REDIS_URL_TEXT = (
    "a URL that begins with redis://, rediss://, unix://, redis+sentinel:// or rediss+sentinel://"
)

# Allowed values of the settings whose schema does not state them.
ALLOWED_TEXT = {
    "host": "addresses or host names, separated by commas",
    "port": "an integer from 0 to 65535, or none",
    "uds_mode": "a string of three octal digits",
    "allowed_hosts": "host names, separated by commas",
    "cors_origins": "origins, separated by commas",
    "auth_user_header": "1 to 64 letters, digits or dashes",
    "auth_jobs_header": "1 to 64 letters, digits or dashes",
    "auth_sign_out_url": "a path, or a URL that begins with http:// or https://",
    "publish_url": REDIS_URL_TEXT,
    "redis_url": REDIS_URL_TEXT,
    "files_exclude": "names with * and ?, without /, separated by commas",
    "sources": "names of sources, separated by commas",
    "source_name": "1 to 64 letters, digits, dots, dashes or underscores",
    "public_url": "a URL that begins with http:// or https://",
    "root_path": "a path of letters, digits and the characters . - _ ~, as /marianne",
    "redis_prefix": "1 to 64 letters, digits, colons, dots, dashes or underscores",
    "notifications": "tables `[[notifications]]`",
    "trusted_proxies": "addresses, networks or unix, separated by commas",
}


def load_settings(arguments: dict[str, Any], config_path: Path | None = None) -> Settings:
    """Load the settings of this process: of the arguments, the environment and a TOML file.

    Raises:
        SettingsError: a value is invalid; the message has the setting, the received value and the
            allowed values.
    """
    check_environment(os.environ)
    environment = EnvSettingsSource(Settings)()
    file_values = read_settings_file(config_path) if config_path is not None else {}
    values = {**file_values, **environment, **arguments}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        details = error.errors()[0]
        name = str(details["loc"][0]) if details["loc"] else ""
        if name in FILE_SETTINGS:
            raise SettingsError(format_rule_error(details, config_path)) from error
        if name in arguments:
            source = option_name(name)
        elif name in environment:
            source = ENV_PREFIX + name.upper()
        else:
            source = f"{name} in {config_path}"
        raise SettingsError(format_error(source, name, details)) from error
    settings.set_file(config_path)
    return settings


def read_settings_file(path: Path) -> dict[str, Any]:
    """Read a TOML file; raise SettingsError if it is not one, or has an unknown setting."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"--config {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"--config {path} is not TOML: {error}") from error
    for name in values:
        if name not in Settings.model_fields:
            raise SettingsError(format_unknown_setting(name, path))
    return values


def format_unknown_setting(name: str, path: Path) -> str:
    """Return the error message for a key of a TOML file that is not a setting."""
    if name in RENAMED:
        return f"{name} in {path} was renamed: use {RENAMED[name]}"
    nearest = get_close_matches(name, Settings.model_fields, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else "--help lists all settings"
    return f"unknown setting {name} in {path}: {hint}"


def check_environment(environment: Mapping[str, str]) -> None:
    """Raise SettingsError if an environment variable has the old name of a setting."""
    for name in environment:
        old = name.upper().removeprefix(ENV_PREFIX).lower()
        if old in RENAMED and name.upper().startswith(ENV_PREFIX):
            new = ENV_PREFIX + RENAMED[old].upper()
            raise SettingsError(f"the environment variable {name} was renamed: use {new}")
        if old in FILE_SETTINGS and name.upper().startswith(ENV_PREFIX):
            raise SettingsError(
                f"the environment variable {name} is not read: put {old} into the settings file"
            )


def option_name(name: str) -> str:
    """Return the command-line option of a setting."""
    return "--" + name.replace("_", "-")


def negated_option(name: str) -> str:
    """Return the command-line option that sets a boolean setting to false."""
    return option_name(name.removeprefix("no_") if name.startswith("no_") else f"no_{name}")


def format_error(source: str, name: str, error: ErrorDetails) -> str:
    """Return the error message for an invalid value."""
    if not name:
        return str(error["msg"]).removeprefix("Value error, ")
    got = error["input"]
    if name in SECRET_URLS:
        got = redact_url(str(got))
    return f"{source} must be {describe_allowed(name)}, got {got!r}"


def format_rule_error(error: ErrorDetails, path: Path | None) -> str:
    """Return the error message for an invalid rule; it has no text of a target."""
    if len(error["loc"]) < 3:
        return f"notifications in {path} must be {ALLOWED_TEXT['notifications']}"
    _, index, field, *_ = error["loc"]
    rule = f"rule {int(index) + 1} of notifications in {path}"
    if field not in RULE_FIELDS:
        return f"{rule} has an unknown key; known are {', '.join(RULE_FIELDS)}"
    # Text with :// may be a target in a wrong place.
    got = repr(error["input"])
    is_shown = error["type"] != "missing" and field != "targets" and "://" not in got
    message = error["msg"].replace("tuple", "list")
    return f"{rule}: {field}: {message}{f', got {got}' if is_shown else ''}"


def is_readable_by_others(path: Path) -> bool:
    """Return whether others than its owner may read a file, if it exists."""
    try:
        return bool(path.stat().st_mode & 0o077) and not is_credential(path)
    except OSError:
        return False


def describe_default(name: str) -> str:
    """Describe the default of a setting."""
    field = Settings.model_fields[name]
    if field.default_factory is not None:
        return "the state directory of the user"
    if field.default in (None, (), ""):
        return "none"
    if isinstance(field.default, tuple):
        return ",".join(field.default)
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


@cache
def make_settings_schema() -> dict[str, Any]:
    """Return the JSON schema of the settings, which takes 3 ms to make."""
    return Settings.model_json_schema()


def describe_allowed(name: str) -> str:
    """Describe the allowed values of a setting."""
    if name in ALLOWED_TEXT:
        return ALLOWED_TEXT[name]
    schema = make_settings_schema()["properties"][name]
    # The other choice is null.
    schema = schema.get("anyOf", [schema])[0]
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if schema.get("type") == "integer":
        return f"an integer from {schema['minimum']} to {schema['maximum']}"
    if schema.get("type") == "number":
        return f"a number from {schema['minimum']} to {schema['maximum']}"
    if schema.get("type") == "boolean":
        return "true or false"
    return "a path" if "path" in str(schema) else "a string that is not empty"
