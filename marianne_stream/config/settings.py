"""All settings, in one frozen model.

Only `app.py`, `components.py`, `server/` and `cli/` read settings; all other modules take plain
arguments.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from marianne_stream.auth.token_source import default_data_dir
from marianne_stream.config.setting_combinations import check_combinations
from marianne_stream.config.setting_types import (
    HOST_NAME_RE,
    ORIGIN_RE,
    SOURCE_NAME_RE,
    CsvTuple,
    HeaderName,
    Integer,
    Number,
    UserPath,
    check_hosts,
    check_names,
    check_networks,
    check_redis_url,
    check_root_path,
    match_all,
    parse_none,
    reject_bool,
    reject_int,
)
from marianne_stream.notify.rules import Rule

ENV_PREFIX = "MARIANNE_STREAM_"

BackendChoice = Literal["auto", "conductor", "registry", "json", "redis"]
ConductorEvents = Literal["auto", "visits"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
JobLogWatch = Literal["auto", "inotify", "poll"]
PublishedLogs = Literal["watched", "all"]

# The schema has the limits only if they come first.
StalledAfter = Annotated[
    float, Field(ge=1, le=30 * 24 * 3600, allow_inf_nan=False), BeforeValidator(reject_bool)
]


class Settings(BaseSettings):
    """Settings of the server.

    A new field becomes an option of `serve` and `check`, an environment variable and a key of the
    TOML file, unless `loading.FILE_SETTINGS` names it. Its description is its help. `demo` and
    `token` name the fields that they take.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    host: Annotated[CsvTuple, AfterValidator(check_hosts)] = Field(
        ("127.0.0.1",),
        description="Addresses to listen on; :: accepts IPv4 as well, if the system can.",
    )
    port: Annotated[Integer | None, BeforeValidator(parse_none)] = Field(
        8765, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one."
    )
    uds: UserPath | None = Field(
        None, description="Unix socket to listen on, in addition to the port."
    )
    uds_mode: Annotated[str, BeforeValidator(reject_int)] = Field(
        "0660",
        pattern=r"^0?[0-7]{3}$",
        description="Permissions of the Unix socket; connecting takes write permission.",
    )
    conductor_socket: UserPath = Field(
        Path("/tmp/marianne.sock"),  # noqa: S108 - the conductor's choice; it is only connected to
        description="Unix socket of the conductor.",
    )
    state_backend: BackendChoice = Field(
        "auto",
        description="Backend that state is read from; auto: the conductor while it answers, "
        "else its registry.",
    )
    conductor_events: ConductorEvents = Field(
        "auto",
        description="How to receive the conductor's events; auto: subscribe while the conductor "
        "has free connection slots, else poll in short visits; visits: always poll.",
    )
    registry_path: UserPath | None = Field(
        None,
        description="SQLite file of the conductor's registry, opened read-only; default: the "
        "file that the conductor reports.",
    )
    checkpoint_dir: UserPath | None = Field(
        None, description="Folder of JSON checkpoints, for state_backend json."
    )
    conductor_log: UserPath | None = Field(
        None, description="Log file of the conductor; default: the file that the conductor reports."
    )
    job_log_watch: JobLogWatch = Field(
        "auto",
        description="How to watch log files; auto: inotify, or polling on network file systems.",
    )
    job_log_poll_interval_s: Number = Field(
        0.25,
        ge=0.01,
        le=60,
        allow_inf_nan=False,
        description="Poll interval of logs that inotify does not cover, in seconds.",
    )
    files: bool = Field(
        default=True,
        description="Serve the files of jobs' workspaces to tokens with the right to files.",
    )
    files_exclude: Annotated[CsvTuple, AfterValidator(check_names)] = Field(
        (".env*", "*.pem", "*.key", ".git"),
        description="Names of files and folders in a workspace that are never served.",
    )
    max_download_bytes: Integer = Field(
        50 * 1024 * 1024,
        ge=0,
        le=2**62,
        description="Maximum size of a log that is sent as one text, in bytes.",
    )
    max_streams: Integer = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Maximum number of open streams; reduced to the limit of open files if that "
        "is lower.",
    )
    max_streams_per_address: Integer = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Maximum number of open streams to one address.",
    )
    max_downloads: Integer = Field(
        20, ge=1, le=10_000, description="Maximum number of simultaneous log downloads."
    )
    max_downloads_per_address: Integer = Field(
        5,
        ge=1,
        le=10_000,
        description="Maximum number of simultaneous log downloads by one address.",
    )
    max_header_bytes: Integer = Field(
        32 * 1024,
        ge=1024,
        le=1024 * 1024,
        description="Maximum length of the request line and of each header, in bytes.",
    )
    idle_timeout_s: Number = Field(
        75.0,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="Time limit for a connection to send the head of a request, or a form, in "
        "seconds.",
    )
    token_file: UserPath | None = Field(
        None, description="File of accepted tokens; default: a generated token."
    )
    data_dir: UserPath = Field(
        default_factory=default_data_dir,
        description="Folder for the generated token, for sessions and for the history.",
    )
    history: Literal["auto", "none"] = Field(
        "auto",
        description="auto records runs, sheets and events in data_dir; none records nothing.",
    )
    history_max_age_s: Integer = Field(
        30 * 24 * 3600,
        ge=3600,
        le=10 * 366 * 24 * 3600,
        description="Age at which records are removed, in seconds.",
    )
    history_max_bytes: Integer = Field(
        256 * 1024 * 1024,
        ge=4 * 1024 * 1024,
        le=1024**5,
        description="Size above which the oldest records are removed, in bytes.",
    )
    stalled_after_s: StalledAfter | None = Field(
        None,
        description="Time without a sign of life after which a sheet counts as stalled, in "
        "seconds; default: half of its timeout, between 10 and 30 minutes.",
    )
    session_max_age_s: Integer = Field(
        7 * 24 * 3600,
        ge=60,
        le=366 * 24 * 3600,
        description="Time that a browser stays signed in, in seconds.",
    )
    auth_user_header: HeaderName | None = Field(
        None,
        description="Header in which a proxy names the user whom it has signed in; trusted on the "
        "Unix socket only, or with the secret of auth_header_secret_file.",
    )
    auth_jobs_header: HeaderName | None = Field(
        None, description="Header in which the proxy names the user's jobs; default: all jobs."
    )
    auth_header_secret_file: UserPath | None = Field(
        None, description="File with the secret that the proxy sends as X-Marianne-Secret."
    )
    auth_header_max_age_s: Integer = Field(
        3600,
        ge=1,
        le=7 * 24 * 3600,
        description="Longest time until streams of a proxy's user end, in seconds; their clients "
        "reconnect through the proxy.",
    )
    auth_sign_out_url: str | None = Field(
        None,
        pattern=r"^(https?://[^\s/]|/)\S*$",
        description="Address at which a proxy's user signs out.",
    )
    public_ready: bool = Field(default=False, description="Serve /ready without a token.")
    public_metrics: bool = Field(default=False, description="Serve /metrics without a token.")
    allowed_hosts: Annotated[CsvTuple, match_all(HOST_NAME_RE)] = Field(
        (),
        description="Host names that the server answers to, in addition to those of this machine.",
    )
    cors_origins: Annotated[CsvTuple, match_all(ORIGIN_RE)] = Field(
        (), description="Origins whose pages may use the API, as https://grafana.example.org."
    )
    trusted_proxies: Annotated[CsvTuple, AfterValidator(check_networks)] = Field(
        (),
        description="Proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted; unix: the "
        "Unix socket.",
    )
    root_path: Annotated[str, AfterValidator(check_root_path)] = Field(
        "", description="Path below which a proxy serves this server; the proxy strips it."
    )
    drain_timeout_s: Number = Field(
        3.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Time over which open streams are ended at shutdown, in seconds.",
    )
    publish_url: Annotated[str, AfterValidator(check_redis_url)] | None = Field(
        None, repr=False, description="Redis to publish all jobs to, for edges."
    )
    source_name: str | None = Field(
        None,
        pattern=f"^{SOURCE_NAME_RE.pattern}$",
        description="Name of this conductor in Redis; unique there.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]\S*$",
        description="Base URL at which users reach this server, prefix included; for links in "
        "notifications, and for edges, which redirect to it.",
    )
    redis_url: Annotated[str, AfterValidator(check_redis_url)] | None = Field(
        None, repr=False, description="Redis to read jobs from, for state_backend redis."
    )
    sources: Annotated[CsvTuple, match_all(SOURCE_NAME_RE)] = Field(
        (), description="Names of the sources to serve, for state_backend redis."
    )
    workers: Integer = Field(
        1,
        ge=1,
        le=64,
        description="Number of processes that share the port, for state_backend redis.",
    )
    redis_prefix: str = Field(
        "marianne-stream",
        pattern=r"^[A-Za-z0-9_.:-]{1,64}$",
        description="Prefix of all keys in Redis.",
    )
    redis_password_file: UserPath | None = Field(
        None, description="File with the password for Redis; overrides the password of the URL."
    )
    publish_logs: PublishedLogs = Field(
        "watched",
        description="Jobs whose logs are published: those that are watched at an edge, or all "
        "that run.",
    )
    redis_log_max_lines: Integer = Field(
        100_000,
        ge=100,
        le=10_000_000,
        description="Approximate number of lines of a log that Redis keeps.",
    )
    redis_log_ttl_s: Integer = Field(
        24 * 3600,
        ge=60,
        le=366 * 24 * 3600,
        description="Time that Redis keeps a log that is no longer published, in seconds.",
    )
    notifications: tuple[Rule, ...] = Field(
        (), description="Rules of notifications; in the settings file only."
    )
    log_level: LogLevel = Field(
        "info", description="Minimum level of messages in the server's log."
    )
    log_format: LogFormat = Field("text", description="Format of the server's log.")
    no_auth: bool = Field(
        default=False,
        description="Serve without a token; allowed on loopback addresses and Unix sockets only.",
    )

    # The file that the settings were loaded from.
    _settings_file: Path | None = PrivateAttr(None)

    def set_file(self, path: Path | None) -> None:
        """Set the file that the settings were loaded from."""
        self._settings_file = path

    @property
    def private_files(self) -> tuple[Path | None, ...]:
        """Files of this server and its conductor that no job may make readable."""
        return (
            self._settings_file,
            self.token_file,
            self.auth_header_secret_file,
            self.redis_password_file,
            self.registry_path,
            self.conductor_log,
        )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        check_combinations(self)
        return self
