"""All settings, in one frozen model: command line over environment over file over default.

Read in `app.py`, `serve.py` and `commands/` alone; every other part takes plain arguments.
"""

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from marianne_stream.auth.token_source import default_data_dir
from marianne_stream.config.setting_types import (
    RENAMED,
    SOURCE_NAME_RE,
    CsvTuple,
    Port,
    UserPath,
    check_host_names,
    check_networks,
    check_origins,
    check_redis_url,
    check_source_names,
    parse_none,
    reject_bool,
    reject_int,
)
from marianne_stream.errors import SettingsError
from marianne_stream.wire.redis_urls import redact_url

ENV_PREFIX = "MARIANNE_STREAM_"

BackendChoice = Literal["auto", "conductor", "registry", "json", "redis"]
ConductorEvents = Literal["auto", "visits"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
JobLogWatch = Literal["auto", "inotify", "poll"]
PublishedLogs = Literal["watched", "all"]


class Settings(BaseSettings):
    """What the server can be told. Each field's description is its help."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    host: str = Field("127.0.0.1", min_length=1, description="The address to listen on.")
    port: Annotated[Port | None, BeforeValidator(parse_none)] = Field(
        8765, ge=0, le=65535, description="The TCP port to listen on; 0 picks a free one."
    )
    uds: UserPath | None = Field(None, description="A Unix socket to listen on as well.")
    uds_mode: Annotated[str, BeforeValidator(reject_int)] = Field(
        "0660",
        pattern=r"^0?[0-7]{3}$",
        description="The permissions of that socket; who may write to it may connect.",
    )
    conductor_socket: UserPath = Field(
        Path("/tmp/marianne.sock"),  # noqa: S108 - the conductor's choice; it is only connected to
        description="The conductor's Unix socket.",
    )
    state_backend: BackendChoice = Field(
        "auto",
        description="Where state is read; auto: the conductor while it answers, else its registry.",
    )
    conductor_events: ConductorEvents = Field(
        "auto",
        description="How the conductor's events come in; auto: by a subscription while the "
        "conductor has slots to spare, else by visits, as with visits.",
    )
    registry_path: UserPath | None = Field(
        None,
        description="The conductor's registry, an SQLite file, which is only read; left out, the "
        "one that the conductor names.",
    )
    checkpoint_dir: UserPath | None = Field(
        None, description="The folder of JSON checkpoints, for state_backend json."
    )
    conductor_log: UserPath | None = Field(
        None, description="The conductor's own log; left out, the conductor is asked for it."
    )
    job_log_watch: JobLogWatch = Field(
        "auto",
        description="How a log is watched; auto: by inotify, by polling on network folders.",
    )
    job_log_poll_interval_s: Annotated[float, BeforeValidator(reject_bool)] = Field(
        0.25,
        ge=0.01,
        le=60,
        allow_inf_nan=False,
        description="How often a log that inotify does not tell of is looked at, in seconds.",
    )
    max_download_bytes: Annotated[int, BeforeValidator(reject_bool)] = Field(
        50 * 1024 * 1024,
        ge=0,
        le=2**62,
        description="The largest log that is given as one text, in bytes.",
    )
    max_streams: Annotated[int, BeforeValidator(reject_bool)] = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="How many streams may be open; no more than the process may open files.",
    )
    max_streams_per_address: Annotated[int, BeforeValidator(reject_bool)] = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="How many streams may be open to one address.",
    )
    max_downloads: Annotated[int, BeforeValidator(reject_bool)] = Field(
        20, ge=1, le=10_000, description="How many logs may be downloaded as files at once."
    )
    max_downloads_per_address: Annotated[int, BeforeValidator(reject_bool)] = Field(
        5,
        ge=1,
        le=10_000,
        description="How many logs may be downloaded as files at once by one address.",
    )
    max_header_bytes: Annotated[int, BeforeValidator(reject_bool)] = Field(
        32 * 1024,
        ge=1024,
        le=1024 * 1024,
        description="The longest address, and the longest header, of a request, in bytes.",
    )
    idle_timeout_s: Annotated[float, BeforeValidator(reject_bool)] = Field(
        75.0,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="How long a connection may take to send the head of a request, or a form, "
        "in seconds.",
    )
    token_file: UserPath | None = Field(
        None, description="The tokens that are let in; left out, the server makes one of its own."
    )
    data_dir: UserPath = Field(
        default_factory=default_data_dir,
        description="The folder for the server's own token and its sessions.",
    )
    session_max_age_s: Annotated[int, BeforeValidator(reject_bool)] = Field(
        7 * 24 * 3600,
        ge=60,
        le=366 * 24 * 3600,
        description="How long a browser stays signed in, in seconds.",
    )
    public_ready: bool = Field(default=False, description="Whether /ready asks for no token.")
    public_metrics: bool = Field(default=False, description="Whether /metrics asks for no token.")
    allowed_hosts: Annotated[CsvTuple, AfterValidator(check_host_names)] = Field(
        (), description="The host names that are answered for, besides those of this machine alone."
    )
    cors_origins: Annotated[CsvTuple, AfterValidator(check_origins)] = Field(
        (), description="Sites whose pages may ask, as https://grafana.example.org."
    )
    trusted_proxies: Annotated[CsvTuple, AfterValidator(check_networks)] = Field(
        (), description="Proxies whose X-Forwarded-For and -Proto are believed; unix: the socket."
    )
    drain_timeout_s: Annotated[float, BeforeValidator(reject_bool)] = Field(
        5.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Over how long open streams are ended when the server leaves, in seconds.",
    )
    publish_url: Annotated[str, AfterValidator(check_redis_url)] | None = Field(
        None, repr=False, description="The Redis in which all that is served is published as well."
    )
    source_name: str | None = Field(
        None,
        pattern=f"^{SOURCE_NAME_RE.pattern}$",
        description="What this conductor is called there; no two may have one name.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]\S*$",
        description="Where those who read from there reach this server, for what is not published.",
    )
    redis_url: Annotated[str, AfterValidator(check_redis_url)] | None = Field(
        None, repr=False, description="The Redis that state redis reads."
    )
    sources: Annotated[CsvTuple, AfterValidator(check_source_names)] = Field(
        (), description="Whose jobs state redis serves; left out, all that are published there."
    )
    workers: Annotated[int, BeforeValidator(reject_bool)] = Field(
        1,
        ge=1,
        le=64,
        description="How many processes serve at the port, each a share of the viewers; for state "
        "redis.",
    )
    redis_prefix: str = Field(
        "marianne-stream",
        pattern=r"^[A-Za-z0-9_.:-]{1,64}$",
        description="What all keys in Redis begin with.",
    )
    redis_password_file: UserPath | None = Field(
        None, description="A file with the password for Redis, in the place of the URL's."
    )
    publish_logs: PublishedLogs = Field(
        "watched", description="Whose logs are published: of jobs watched there, or all that run."
    )
    redis_log_max_lines: Annotated[int, BeforeValidator(reject_bool)] = Field(
        100_000, ge=100, le=10_000_000, description="How many lines of a log Redis keeps, roughly."
    )
    redis_log_ttl_s: Annotated[int, BeforeValidator(reject_bool)] = Field(
        24 * 3600,
        ge=60,
        le=366 * 24 * 3600,
        description="How long Redis keeps a log that is no longer published, in seconds.",
    )
    log_level: LogLevel = Field("info", description="The least that is logged.")
    log_format: LogFormat = Field("text", description="How a line of the log is written.")
    no_auth: bool = Field(
        default=False,
        description="Whether to ask for no token; on loopback addresses and Unix sockets only.",
    )

    @model_validator(mode="after")
    def _require_checkpoint_dir(self) -> Self:
        """State json is nothing without its folder."""
        if self.state_backend == "json" and self.checkpoint_dir is None:
            raise ValueError(
                "state_backend json needs checkpoint_dir, the folder of the JSON checkpoints"
            )
        return self

    @model_validator(mode="after")
    def _require_redis_url(self) -> Self:
        """State redis is nothing without its Redis, and is published by others."""
        if self.state_backend == "redis" and self.redis_url is None:
            raise ValueError(
                "state_backend redis needs redis_url, the URL of the Redis that is read"
            )
        if self.state_backend == "redis" and self.publish_url is not None:
            raise ValueError(
                "state_backend redis is published already: set publish_url on the origin"
            )
        return self

    @model_validator(mode="after")
    def _check_workers(self) -> Self:
        """Several processes at a conductor would take all of its slots."""
        if self.workers > 1 and self.state_backend != "redis":
            raise ValueError(
                "workers needs state_backend redis: each at a conductor takes two slots"
            )
        if self.workers > 1 and (self.port is None or self.uds is not None):
            raise ValueError(
                "workers share a port: port must not be none, and uds must be left out"
            )
        return self

    @model_validator(mode="after")
    def _require_source_name(self) -> Self:
        """What is published is nothing without whose it is."""
        if self.publish_url is not None and self.source_name is None:
            raise ValueError("publish_url needs source_name, what this conductor is called there")
        return self


def load_settings(arguments: dict[str, Any], config_path: Path | None = None) -> Settings:
    """The settings of this process.

    Args:
        arguments: what the command line gives, by the settings' names.
        config_path: a TOML file, or None.

    Raises:
        SettingsError: a value cannot be used; the message names the setting, what was got, and what
            is allowed.
    """
    check_environment(os.environ)
    environment = EnvSettingsSource(Settings)()
    in_file = read_settings_file(config_path) if config_path is not None else {}
    values = {**in_file, **environment, **arguments}
    try:
        return Settings(**values)
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0]) if fault["loc"] else ""
        if name in arguments:
            place = option_name(name)
        elif name in environment:
            place = ENV_PREFIX + name.upper()
        else:
            place = f"{name} in {config_path}"
        raise SettingsError(format_error(place, name, fault)) from error


def read_settings_file(path: Path) -> dict[str, Any]:
    """The settings that a TOML file gives.

    Raises:
        SettingsError: it cannot be read, is not TOML, or has a key that is no setting.
    """
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


def option_name(name: str) -> str:
    """A setting as an option of the command line."""
    return "--" + name.replace("_", "-")


def negated_option(name: str) -> str:
    """Return the command-line option that sets a boolean setting to false."""
    return option_name(name.removeprefix("no_") if name.startswith("no_") else f"no_{name}")


def format_error(source: str, name: str, error: ErrorDetails) -> str:
    """Why a value cannot be used."""
    if not name:
        return str(error["msg"]).removeprefix("Value error, ")
    got = error["input"]
    if name in SECRET_URLS:
        got = redact_url(str(got))
    return f"{source} must be {describe_allowed(name)}, got {got!r}"


SECRET_URLS = {"publish_url", "redis_url"}


REDIS_URL_TEXT = (
    "a URL that begins with redis://, rediss://, unix://, redis+sentinel:// or rediss+sentinel://"
)

# What those settings may be of which the schema does not say it.
ALLOWED_TEXT = {
    "port": "a whole number from 0 to 65535, or none",
    "uds_mode": "three octal digits as text",
    "allowed_hosts": "host names, divided by commas",
    "cors_origins": "origins, divided by commas",
    "publish_url": REDIS_URL_TEXT,
    "redis_url": REDIS_URL_TEXT,
    "sources": "names of sources, divided by commas",
    "source_name": "1 to 64 letters, digits, dots, dashes or underscores",
    "public_url": "a URL that begins with http:// or https://",
    "redis_prefix": "1 to 64 letters, digits, colons, dots, dashes or underscores",
    "trusted_proxies": "addresses, networks or unix, divided by commas",
}


def describe_default(name: str) -> str:
    """What a setting is where it is left out, in words."""
    field = Settings.model_fields[name]
    if field.default_factory is not None:
        return "the state directory of the user"
    if field.default in (None, ()):
        return "none"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def describe_allowed(name: str) -> str:
    """What a setting may be, in words."""
    if name in ALLOWED_TEXT:
        return ALLOWED_TEXT[name]
    schema = Settings.model_json_schema()["properties"][name]
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if schema.get("type") == "integer":
        return f"a whole number from {schema['minimum']} to {schema['maximum']}"
    if schema.get("type") == "number":
        return f"a number from {schema['minimum']} to {schema['maximum']}"
    if schema.get("type") == "boolean":
        return "true or false"
    return "a path" if "path" in str(schema) else "text that is not empty"
