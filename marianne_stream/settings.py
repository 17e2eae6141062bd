"""All settings, in one frozen model: command line over environment over file over default.

Read in `app.py`, `serve.py` and `commands/` alone; every other part takes plain arguments.
"""

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict

from marianne_stream.access.places import at_home, default_private_dir
from marianne_stream.errors import SettingsError

ENVIRONMENT_PREFIX = "MARIANNE_STREAM_"

State = Literal["auto", "conductor", "registry", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
LogWatch = Literal["auto", "inotify", "poll"]


def no_truth(value: object) -> object:
    """A value that is no truth value: pydantic would count those as 0 and 1."""
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")  # noqa: TRY004 - pydantic wants it so
    return value


def words(value: object) -> object:
    """Text as its words, which commas divide; a list of a file as it is."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def host_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names without a scheme, a port or a path."""
    for name in names:
        if not HOST_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no host name")
    return names


def origins(names: tuple[str, ...]) -> tuple[str, ...]:
    """Sites as a browser names them."""
    for name in names:
        if not ORIGIN.fullmatch(name):
            raise ValueError(f"{name!r} is no origin")
    return names


def networks(names: tuple[str, ...]) -> tuple[str, ...]:
    """Networks, addresses, and the word for Unix sockets."""
    for name in names:
        if name != "unix":
            ipaddress.ip_network(name)
    return names


HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
ORIGIN = re.compile(r"https?://[a-z0-9._\[\]:-]+")


def none_as_word(value: object) -> object:
    """The word none as None."""
    return None if value == "none" else value


def no_number(value: object) -> object:
    """A value that is no number: 0660 of a TOML file would be six hundred and sixty."""
    if isinstance(value, int):
        raise ValueError("write it as text")  # noqa: TRY004 - pydantic wants it so
    return value


UserPath = Annotated[Path, AfterValidator(at_home)]
Port = Annotated[int, BeforeValidator(no_truth)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(words)]


class Settings(BaseSettings):
    """What the server can be told. Each field's description is its help."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    host: str = Field("127.0.0.1", min_length=1, description="The address to listen on.")
    port: Annotated[Port | None, BeforeValidator(none_as_word)] = Field(
        8765, ge=0, le=65535, description="The TCP port to listen on; 0 picks a free one."
    )
    unix: UserPath | None = Field(None, description="A Unix socket to listen on as well.")
    unix_mode: Annotated[str, BeforeValidator(no_number)] = Field(
        "0660",
        pattern=r"^0?[0-7]{3}$",
        description="The permissions of that socket; who may write to it may connect.",
    )
    socket: UserPath = Field(
        Path("/tmp/marianne.sock"),  # noqa: S108 - the conductor's choice; it is only connected to
        description="The conductor's Unix socket.",
    )
    state: State = Field(
        "auto",
        description="Where state is read; auto: the conductor while it answers, else its registry.",
    )
    registry: UserPath = Field(
        Path("~/.marianne/daemon-state.db"),
        validate_default=True,
        description="The conductor's registry, an SQLite file; it is only read.",
    )
    state_dir: UserPath | None = Field(
        None, description="The folder of JSON checkpoints, for state json."
    )
    conductor_log: UserPath | None = Field(
        None, description="The conductor's own log; left out, the conductor is asked for it."
    )
    log_watch: LogWatch = Field(
        "auto",
        description="How a log is watched; auto: by inotify, by polling on network folders.",
    )
    log_poll_interval: Annotated[float, BeforeValidator(no_truth)] = Field(
        0.25,
        ge=0.01,
        le=60,
        allow_inf_nan=False,
        description="How often a log that inotify does not tell of is looked at, in seconds.",
    )
    download_limit_bytes: Annotated[int, BeforeValidator(no_truth)] = Field(
        50 * 1024 * 1024,
        ge=0,
        le=2**62,
        description="The largest log that is given as one text, in bytes.",
    )
    max_streams: Annotated[int, BeforeValidator(no_truth)] = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="How many streams may be open; no more than the process may open files.",
    )
    max_streams_per_address: Annotated[int, BeforeValidator(no_truth)] = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="How many streams may be open to one address.",
    )
    max_downloads: Annotated[int, BeforeValidator(no_truth)] = Field(
        20, ge=1, le=10_000, description="How many logs may be downloaded as files at once."
    )
    max_head_bytes: Annotated[int, BeforeValidator(no_truth)] = Field(
        32 * 1024,
        ge=1024,
        le=1024 * 1024,
        description="The longest address, and the longest header, of a request, in bytes.",
    )
    idle_timeout: Annotated[float, BeforeValidator(no_truth)] = Field(
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
    private_dir: UserPath = Field(
        default_factory=default_private_dir,
        description="The folder for the server's own token and its sessions.",
    )
    session_max_age: Annotated[int, BeforeValidator(no_truth)] = Field(
        7 * 24 * 3600,
        ge=60,
        le=366 * 24 * 3600,
        description="How long a browser stays signed in, in seconds.",
    )
    open_ready: bool = Field(default=False, description="Whether /ready asks for no token.")
    open_metrics: bool = Field(default=False, description="Whether /metrics asks for no token.")
    allowed_hosts: Annotated[Words, AfterValidator(host_names)] = Field(
        (), description="The host names that are answered for, besides those of this machine alone."
    )
    cors_origins: Annotated[Words, AfterValidator(origins)] = Field(
        (), description="Sites whose pages may ask, as https://grafana.example.org."
    )
    trusted_proxies: Annotated[Words, AfterValidator(networks)] = Field(
        (), description="Proxies whose X-Forwarded-For and -Proto are believed; unix: the socket."
    )
    drain_s: Annotated[float, BeforeValidator(no_truth)] = Field(
        5.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Over how long open streams are ended when the server leaves, in seconds.",
    )
    log_level: LogLevel = Field("info", description="The least that is logged.")
    log_format: LogFormat = Field("text", description="How a line of the log is written.")
    insecure: bool = Field(
        default=False,
        description="Whether to ask for no token; on loopback addresses and Unix sockets only.",
    )

    @model_validator(mode="after")
    def needs_its_folder(self) -> Self:
        """State json is nothing without its folder."""
        if self.state == "json" and self.state_dir is None:
            raise ValueError("state json needs state_dir, the folder of the JSON checkpoints")
        return self


def load(arguments: dict[str, Any], config: Path | None = None) -> Settings:
    """The settings of this process.

    Args:
        arguments: what the command line gives, by the settings' names.
        config: a TOML file, or None.

    Raises:
        SettingsError: a value cannot be used; the message names the setting, what was got, and what
            is allowed.
    """
    environment = EnvSettingsSource(Settings)()
    in_file = read_file(config) if config is not None else {}
    values = {**in_file, **environment, **arguments}
    try:
        return Settings(**values)
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0]) if fault["loc"] else ""
        if name in arguments:
            place = option(name)
        elif name in environment:
            place = ENVIRONMENT_PREFIX + name.upper()
        else:
            place = f"{name} in {config}"
        raise SettingsError(sentence(place, name, fault)) from error


def read_file(path: Path) -> dict[str, Any]:
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
            known = ", ".join(Settings.model_fields)
            raise SettingsError(f"{name} in {path} is no setting; these are: {known}")
    return values


def option(name: str) -> str:
    """A setting as an option of the command line."""
    return "--" + name.replace("_", "-")


def sentence(place: str, name: str, fault: ErrorDetails) -> str:
    """Why a value cannot be used."""
    if not name:
        return str(fault["msg"]).removeprefix("Value error, ")
    return f"{place} must be {allowed(name)}, got {fault['input']!r}"


# What those settings may be of which the schema does not say it.
SPECIAL = {
    "port": "a whole number from 0 to 65535, or none",
    "unix_mode": "three octal digits as text",
    "allowed_hosts": "host names, divided by commas",
    "cors_origins": "origins, divided by commas",
    "trusted_proxies": "addresses, networks or unix, divided by commas",
}


def default_text(name: str) -> str:
    """What a setting is where it is left out, in words."""
    field = Settings.model_fields[name]
    if field.default_factory is not None:
        return "where the system keeps such"
    if field.default in (None, ()):
        return "none"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def allowed(name: str) -> str:
    """What a setting may be, in words."""
    if name in SPECIAL:
        return SPECIAL[name]
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
