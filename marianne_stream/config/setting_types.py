"""Types and validators of setting values."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from marianne_stream.auth.token_source import expand_user
from marianne_stream.wire.redis_urls import REDIS_URL

SOURCE_NAME_RE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# A host name or an address, without scheme, brackets or path.
HOST_RE = re.compile(r"[^\s,/\[\]]+")
# A host name without scheme, port or path; `*.` may come first.
HOST_NAME_RE = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
# A path without encoded characters and dot segments, which browsers and proxies change.
ROOT_PATH_RE = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")
# An origin as browsers write it.
ORIGIN_RE = re.compile(r"https?://[a-z0-9._\[\]:-]+")


def reject_bool(value: object) -> object:
    """Reject true and false, which pydantic would convert to 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("expected a number, got a boolean")  # noqa: TRY004 - pydantic's form
    return value


def split_csv(value: object) -> object:
    """Split text at commas; return a list of a TOML file as it is."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Accept addresses and host names, at least one."""
    if not hosts or not all(map(HOST_RE.fullmatch, hosts)):
        raise ValueError("not hosts")
    return hosts


def check_networks(names: tuple[str, ...]) -> tuple[str, ...]:
    """Accept addresses, networks, and the word `unix`."""
    for name in names:
        if name != "unix":
            ipaddress.ip_network(name)
    return names


def check_names(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Accept patterns of names, which have no slash."""
    for pattern in patterns:
        if "/" in pattern:
            raise ValueError(f"not a name: {pattern!r}")
    return patterns


def check_redis_url(url: str) -> str:
    """Accept a Redis URL."""
    if not REDIS_URL.fullmatch(url):
        raise ValueError("not a Redis URL")
    return url


def check_root_path(path: str) -> str:
    """Accept a path, and remove its last slash."""
    path = path.rstrip("/")
    if not ROOT_PATH_RE.fullmatch(path):
        raise ValueError("not a path")
    return path


def match_all(pattern: re.Pattern[str]) -> AfterValidator:
    """Return the check that each text of a tuple matches."""

    def check(texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            if not pattern.fullmatch(text):
                raise ValueError(f"not valid: {text!r}")
        return texts

    return AfterValidator(check)


def parse_none(value: object) -> object:
    """Convert the word `none` to None."""
    return None if value == "none" else value


def reject_int(value: object) -> object:
    """Reject integers: a TOML file's 0660 would be decimal."""
    if isinstance(value, int):
        raise ValueError("expected a string, got an integer")  # noqa: TRY004 - pydantic's form
    return value


# Headers with another meaning; what is in them must not be logged as a user's name.
RESERVED_HEADERS = {"authorization", "cookie", "host", "x-marianne-secret"}
# nginx drops headers with underscores.
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
UserPath = Annotated[Path, AfterValidator(expand_user)]
Integer = Annotated[int, BeforeValidator(reject_bool)]
Number = Annotated[float, BeforeValidator(reject_bool)]
CsvTuple = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_csv)]
