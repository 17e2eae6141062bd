"""All settings, in one frozen model: command line over environment over file over default.

Read in `app.py` and `cli.py` alone; every other part takes plain arguments.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from marianne_stream.errors import SettingsError

ENVIRONMENT_PREFIX = "MARIANNE_STREAM_"

State = Literal["auto", "conductor", "registry", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
LogWatch = Literal["auto", "inotify", "poll"]


def at_home(path: Path) -> Path:
    """A path with a tilde at its beginning as one of a home folder."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("there is no such user") from error


def no_truth(value: object) -> object:
    """A value that is no truth value: pydantic would count those as 0 and 1."""
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")  # noqa: TRY004 - pydantic wants it so
    return value


UserPath = Annotated[Path, AfterValidator(at_home)]
Port = Annotated[int, BeforeValidator(no_truth)]


class Settings(BaseSettings):
    """What the server can be told. Each field's description is its help."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    host: str = Field("127.0.0.1", min_length=1, description="The address to listen on.")
    port: Port = Field(
        8765, ge=0, le=65535, description="The TCP port to listen on; 0 picks a free one."
    )
    socket: UserPath = Field(
        Path("/tmp/marianne.sock"),
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
    log_level: LogLevel = Field("info", description="The least that is logged.")
    log_format: LogFormat = Field("text", description="How a line of the log is written.")
    insecure: bool = Field(
        default=False, description="Whether to ask for no token. No release asks for one yet."
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


def allowed(name: str) -> str:
    """What a setting may be, in words."""
    schema = Settings.model_json_schema()["properties"][name]
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if schema.get("type") == "integer":
        return f"a whole number from {schema['minimum']} to {schema['maximum']}"
    if schema.get("type") == "number":
        return f"a number from {schema['minimum']} to {schema['maximum']}"
    if schema.get("type") == "boolean":
        return "true or false"
    if "path" in str(schema):
        return "a path"
    return "text that is not empty"
