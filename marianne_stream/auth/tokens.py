"""Tokens: reading them from a private file, generating one, and comparing."""

import hmac
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from marianne_stream.auth.token_lines import Token, digest_secret, parse_token_line
from marianne_stream.errors import SettingsError

GENERATED_TOKEN_BYTES = 32
GENERATED_TOKEN_FILENAME = "token"  # noqa: S105 - the name of a file

MAX_FILE_BYTES = 1024 * 1024


def match_token(tokens: Iterable[Token], text: str) -> Token | None:
    """Return the token that matches a text, or None. Compares in constant time."""
    digest = digest_secret(text)
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def read_tokens(path: Path, *, passed_by_systemd: bool = False) -> dict[str, Token]:
    """Return the tokens of a file by their texts; it has one a line (see `token_lines`).

    The mode of a credential is not checked: other users cannot enter its directory
    (systemd.exec(5), LoadCredential=).

    Raises:
        SettingsError: the file cannot be read, others than its owner may read it, or a line is
            invalid. The message contains no token.
    """
    found: dict[str, Token] = {}
    names: set[str] = set()
    lines = read_private_file(path, passed_by_systemd=passed_by_systemd)
    for number, line in enumerate(lines.splitlines(), start=1):
        parsed = parse_token_line(line, line_number=number, path=path)
        if parsed is None:
            continue
        text, token = parsed
        if text in found:
            raise SettingsError(f"line {number} of {path} repeats a token of an earlier line")
        if token.name in names:
            raise SettingsError(f"line {number} of {path} repeats a name of an earlier line")
        found[text] = token
        names.add(token.name)
    if not found:
        raise SettingsError(f"no tokens in {path}: every request would be rejected")
    return found


def read_preferred_token(path: Path, *, passed_by_systemd: bool = False) -> tuple[str, Token]:
    """Return the token of a file that a client should send, and its text.

    It is the first that sees all jobs; otherwise the first. Expired tokens come last. Raises as
    `read_tokens` does.
    """
    tokens = read_tokens(path, passed_by_systemd=passed_by_systemd)
    return min(
        tokens.items(), key=lambda item: (item[1].is_expired, not item[1].job_scope.matches_all)
    )


def read_private_file(
    path: Path, *, passed_by_systemd: bool = False, content_name: str = "tokens"
) -> str:
    """Return the text of a file that only its owner may read; raises as `read_tokens` does.

    `content_name` names the content in error messages.
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
    if not passed_by_systemd and (mode & 0o077 or status.st_uid not in (0, os.geteuid())):
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


def ensure_generated_token(folder: Path) -> tuple[Path, bool]:
    """Return the file of the generated token, and whether it was created now.

    Raises:
        SettingsError: the file cannot be created.
    """
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
