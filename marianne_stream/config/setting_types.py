"""Kinds of values that settings have: what is taken, and what it becomes.

It must not know which setting has which.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from marianne_stream.auth.token_source import expand_user
from marianne_stream.wire.redis_urls import REDIS_URL

# Settings by the names that they had before 0.1.0. Each is an error that gives the new name.
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


def reject_bool(value: object) -> object:
    """A value that is no truth value: pydantic would count those as 0 and 1."""
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")  # noqa: TRY004 - pydantic wants it so
    return value


def split_csv(value: object) -> object:
    """Text as its words, which commas divide; a list of a file as it is."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def check_host_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names without a scheme, a port or a path."""
    for name in names:
        if not HOST_NAME_RE.fullmatch(name):
            raise ValueError(f"{name!r} is no host name")
    return names


def check_origins(names: tuple[str, ...]) -> tuple[str, ...]:
    """Sites as a browser names them."""
    for name in names:
        if not ORIGIN_RE.fullmatch(name):
            raise ValueError(f"{name!r} is no origin")
    return names


def check_networks(names: tuple[str, ...]) -> tuple[str, ...]:
    """Networks, addresses, and the word for Unix sockets."""
    for name in names:
        if name != "unix":
            ipaddress.ip_network(name)
    return names


def check_redis_url(url: str) -> str:
    """A URL of Redis."""
    if not REDIS_URL.fullmatch(url):
        raise ValueError("that is no URL of Redis")
    return url


def check_source_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of sources."""
    for name in names:
        if not SOURCE_NAME_RE.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a source")
    return names


SOURCE_NAME_RE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
HOST_NAME_RE = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
ORIGIN_RE = re.compile(r"https?://[a-z0-9._\[\]:-]+")


def parse_none(value: object) -> object:
    """The word none as None."""
    return None if value == "none" else value


def reject_int(value: object) -> object:
    """A value that is no number: 0660 of a TOML file would be six hundred and sixty."""
    if isinstance(value, int):
        raise ValueError("write it as text")  # noqa: TRY004 - pydantic wants it so
    return value


UserPath = Annotated[Path, AfterValidator(expand_user)]
Port = Annotated[int, BeforeValidator(reject_bool)]
CsvTuple = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_csv)]
