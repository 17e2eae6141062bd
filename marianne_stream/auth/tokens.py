"""Tokens: reading them from a private file, generating one, and comparing.

Each line of a token file has a token, the jobs that it may see, and options:

    TOKEN [PATTERN ...] [name=NAME] [rights=RIGHT[,RIGHT ...]|none] [expires=TIME]

No error message contains a token, or a word that might be one.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from marianne_stream.errors import SettingsError
from marianne_stream.wire.job_patterns import JobPatterns

GENERATED_TOKEN_BYTES = 32
GENERATED_TOKEN_FILENAME = "token"  # noqa: S105 - the name of a file

MAX_FILE_BYTES = 1024 * 1024

# Characters that need no quoting in a header or a form; a shorter token could be guessed.
TOKEN_RE = re.compile(r"[\x21-\x7e]{16,512}")

NAME_RE = re.compile(r"[A-Za-z0-9_.@-]{1,64}")

OPTION_NAMES = ("name", "rights", "expires")

# Rights besides reading the state, the events and the logs of the jobs. A token for all jobs has
# all of them unless its line says otherwise.
RIGHTS = ("files",)
NO_RIGHTS = "none"

# Option names that an error message may repeat: a token in their place has other characters, or
# more of them.
OPTION_NAME_RE = re.compile(r"[a-z_]{1,15}")


@dataclass(frozen=True, slots=True)
class Token:
    """Token as it is kept in memory: its digest, and never its text.

    Attributes:
        digest: SHA-256 of its text, in hexadecimal.
        rights: those of `RIGHTS` that it has.
        expires_at_s: time from which it is refused, in epoch seconds; None for never.
    """

    digest: str
    job_scope: JobPatterns
    name: str = ""
    rights: frozenset[str] = frozenset()
    expires_at_s: float | None = None

    @property
    def is_expired(self) -> bool:
        """True if it is refused now."""
        return self.expires_at_s is not None and time.time() >= self.expires_at_s


class FileToken(NamedTuple):
    """Token of a file, and its text."""

    text: str
    token: Token


def digest_secret(text: str) -> str:
    """Return the hash of a secret, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse_token_line(line: str, *, line_number: int, path: object) -> FileToken | None:
    """Parse a line to the token and its text; return None if it is blank or a comment.

    A token without a name is called `line-NUMBER`.

    Raises:
        SettingsError: the line does not begin with a token, or an option is invalid.
    """
    text, *words = line.split() or [""]
    if not text or text.startswith("#"):
        return None
    where = f"line {line_number} of {path}"
    if not TOKEN_RE.fullmatch(text):
        raise SettingsError(
            f"{where} must begin with a token of 16 to 512 ASCII characters without blanks, got "
            f"{len(text)} characters"
        )
    options = parse_options([word for word in words if "=" in word], where)
    job_scope = JobPatterns(tuple(word for word in words if "=" not in word))
    default_rights = ",".join(RIGHTS) if job_scope.matches_all else NO_RIGHTS
    try:
        token = Token(
            digest_secret(text),
            job_scope,
            name=parse_name(options["name"]) if "name" in options else f"line-{line_number}",
            rights=parse_rights(options.get("rights", default_rights)),
            expires_at_s=parse_expiry(options["expires"]) if "expires" in options else None,
        )
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from error
    return FileToken(text, token)


def parse_options(words: list[str], location: str) -> dict[str, str]:
    """Return the options of a line; raise SettingsError if one is unknown or repeated."""
    values: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in OPTION_NAMES:
            shown = (
                f"{name}=" if OPTION_NAME_RE.fullmatch(name) else f"one of {len(word)} characters"
            )
            known = ", ".join(f"{each}=" for each in OPTION_NAMES)
            raise SettingsError(
                f"{location} may have the options {known}, got {shown}; in a pattern, ? stands "
                f"for ="
            )
        if name in values:
            raise SettingsError(f"{location} has {name}= twice")
        values[name] = value
    return values


def parse_name(text: str) -> str:
    """Return a name; raise ValueError if it is invalid."""
    if not NAME_RE.fullmatch(text):
        raise ValueError("name= must have 1 to 64 letters, digits, dots, dashes, underscores or @")
    return text


def parse_rights(text: str) -> frozenset[str]:
    """Return the comma-separated rights; raise ValueError if one is unknown."""
    if text == NO_RIGHTS:
        return frozenset()
    rights = frozenset(text.split(","))
    if not rights.issubset(RIGHTS):
        known = ", ".join(RIGHTS)
        raise ValueError(f"rights= must be {NO_RIGHTS} or a comma-separated list of: {known}")
    return rights


def parse_expiry(text: str) -> float:
    """Return a time in ISO 8601 as epoch seconds; raise ValueError if it is invalid.

    A time without a zone is local time, and a date means its beginning.
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(
            "expires= must be a date or a time in ISO 8601, as 2026-12-31 or 2026-12-31T18:00Z"
        ) from error


def match_token(tokens: Iterable[Token], text: str) -> Token | None:
    """Return the token that matches a text, or None. Compares in constant time."""
    digest = digest_secret(text)
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def read_tokens(path: Path, *, passed_by_systemd: bool = False) -> dict[str, Token]:
    """Return the tokens of a file by their texts; it has one a line.

    The mode of a credential is not checked: other users cannot enter its directory
    (systemd.exec(5), LoadCredential=).

    Raises:
        SettingsError: the file cannot be read, others than its owner may read it, or a line is
            invalid. The message contains no token.
    """
    lines = read_private_file(path, passed_by_systemd=passed_by_systemd)
    found = parse_tokens(lines, path)
    if not found:
        raise SettingsError(f"no tokens in {path}: every request would be rejected")
    return {each.text: each.token for each in found.values()}


def parse_tokens(lines: str, path: object) -> dict[int, FileToken]:
    """Return the tokens of a file's text by the numbers of their lines; raises SettingsError."""
    found: dict[int, FileToken] = {}
    texts: set[str] = set()
    names: set[str] = set()
    for number, line in enumerate(lines.splitlines(), start=1):
        parsed = parse_token_line(line, line_number=number, path=path)
        if parsed is None:
            continue
        if parsed.text in texts:
            raise SettingsError(f"line {number} of {path} repeats a token of an earlier line")
        if parsed.token.name in names:
            raise SettingsError(f"line {number} of {path} repeats a name of an earlier line")
        found[number] = parsed
        texts.add(parsed.text)
        names.add(parsed.token.name)
    return found


def read_preferred_token(path: Path, *, passed_by_systemd: bool = False) -> FileToken:
    """Return the token of a file that a client should send.

    It is the first that sees all jobs; otherwise the first. Expired tokens come last. Raises as
    `read_tokens` does.
    """
    tokens = read_tokens(path, passed_by_systemd=passed_by_systemd)
    return min(
        (FileToken(text, token) for text, token in tokens.items()),
        key=lambda each: (each.token.is_expired, not each.token.job_scope.matches_all),
    )


def read_private_file(
    path: Path,
    *,
    passed_by_systemd: bool = False,
    content_name: str = "tokens",
    owners: tuple[int, ...] = (),
) -> str:
    """Return the text of a file that only its owner may read; raises as `read_tokens` does.

    `content_name` names the content in error messages. The owner is root, the user of this process,
    or one of `owners`.
    """
    try:
        # Non-blocking, since it may be a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(MAX_FILE_BYTES + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise SettingsError(
            f"the {content_name} in {path} cannot be read: {error.strerror}"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(f"the {content_name} must be in a regular file; {path} is not one")
    mode = stat.S_IMODE(status.st_mode)
    if not passed_by_systemd and (mode & 0o077 or status.st_uid not in (0, os.geteuid(), *owners)):
        raise SettingsError(
            f"{path} holds the {content_name}, and must be its owner's alone (chmod 600, owned by "
            f"the user that runs this); it has mode {mode:04o} and belongs to user {status.st_uid}"
        )
    if len(data) > MAX_FILE_BYTES:
        raise SettingsError(f"{path} is too large: at most {MAX_FILE_BYTES} bytes are allowed")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} must be text in UTF-8: {error}") from error


def read_proxy_secret(path: Path, *, passed_by_systemd: bool = False) -> str:
    """Return the secret of a proxy in a private file; it has the characters of a token.

    Raises SettingsError if the file cannot be read, others may read it, or it has no such secret.
    """
    text = read_private_file(
        path, passed_by_systemd=passed_by_systemd, content_name="secret of the proxy"
    ).strip()
    if not TOKEN_RE.fullmatch(text):
        raise SettingsError(
            f"{path} must have a secret of the proxy of 16 to 512 ASCII characters without "
            f"blanks, got {len(text)} characters"
        )
    return text


def file_exists(path: Path) -> bool:
    """Return whether a file exists; raise SettingsError if its folder may not be searched."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    return True


def ensure_generated_token(folder: Path) -> tuple[Path, bool]:
    """Return the file of the generated token, and whether it is new, or raise SettingsError."""
    path = folder / GENERATED_TOKEN_FILENAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            return path, False
        # Written under another name and then linked, so that a process that starts at the same time
        # never reads a part of it.
        made = folder / f".token-{secrets.token_hex(8)}"
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(GENERATED_TOKEN_BYTES) + "\n")
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    except OSError as error:
        raise SettingsError(
            f"cannot create a token in {folder}: {error.strerror}; set data_dir to another "
            "directory, or set token_file"
        ) from error
    return path, True
