"""Editing of a token file: adding and revoking tokens, without a change of the other lines."""

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from marianne_stream.auth.tokens import (
    GENERATED_TOKEN_BYTES,
    Token,
    file_exists,
    parse_expiry,
    parse_name,
    parse_rights,
    parse_tokens,
    read_private_file,
)
from marianne_stream.errors import SettingsError

# Default names, which tokens without `name=` have.
DEFAULT_NAME_RE = re.compile(r"line-\d+")


@dataclass(frozen=True, slots=True)
class NewToken:
    """Token to add; its fields are those of a line of the file.

    Attributes:
        patterns: those of job ids; empty for all jobs.
        rights: value of `rights=`, or None.
        expires: value of `expires=`, or None.
    """

    name: str
    patterns: Sequence[str] = ()
    rights: str | None = None
    expires: str | None = None

    def make_line(self) -> str:
        """Return a line with a new secret; raise SettingsError if a field is invalid."""
        try:
            parse_name(self.name)
            if self.rights is not None:
                parse_rights(self.rights)
            is_over = self.expires is not None and parse_expiry(self.expires) <= time.time()
        except ValueError as error:
            raise SettingsError(str(error)) from error
        if is_over:
            raise SettingsError(f"expires= must be in the future, got {self.expires}")
        if DEFAULT_NAME_RE.fullmatch(self.name):
            raise SettingsError(
                f"{self.name} is a default name, of a token without name=: choose another name"
            )
        for pattern in self.patterns:
            if not pattern.isprintable() or "=" in pattern or len(pattern.split()) != 1:
                raise SettingsError(
                    f"a pattern must be printable and have no blanks and no =, got {pattern!r}; "
                    "? stands for any character"
                )
        options = {"name": self.name, "rights": self.rights, "expires": self.expires}
        # ISO 8601 may have a blank in place of the T.
        words = [f"{key}={'T'.join(value.split())}" for key, value in options.items() if value]
        return " ".join((secrets.token_urlsafe(GENERATED_TOKEN_BYTES), *self.patterns, *words))


def add_token(path: Path, new: NewToken) -> str:
    """Add a line for a token at the end of a file, and return the token.

    Raises:
        SettingsError: the file cannot be read or written, others than its owner may read it, the
            name is taken, or a field is invalid.
    """
    line = new.make_line()
    with lock_token_file(path):
        text = read_for_editing(path)
        for number, each in parse_tokens(text, path).items():
            if each.token.name == new.name:
                raise SettingsError(
                    f"{new.name} is the name of the token in line {number} of {path}: choose "
                    "another name, or revoke that token first"
                )
        if text and not text.endswith("\n"):
            text += "\n"
        replace_file(path, f"{text}{line}\n")
    return line.split(maxsplit=1)[0]


def revoke_token(path: Path, name: str) -> None:
    """Replace the line of a token by a comment, so that the numbers of the other lines stay.

    Raises:
        SettingsError: the file cannot be read or written, others than its owner may read it, no
            token has the name, or no other token is left: a server does not load such a file.
    """
    with lock_token_file(path):
        text = read_for_editing(path)
        tokens = parse_tokens(text, path)
        number = next((n for n, each in tokens.items() if each.token.name == name), None)
        if number is None:
            raise SettingsError(f"no token in {path} has the name {name!r}: see token list")
        if len(tokens) == 1:
            raise SettingsError(
                f"{name} is the only token in {path}, and a server needs one: add another first"
            )
        lines = text.splitlines(keepends=True)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        lines[number - 1] = f"# {name} was revoked at {now}\n"
        replace_file(path, "".join(lines))


def list_tokens(path: Path) -> list[Token]:
    """Return the tokens of a file in order; raises SettingsError as `add_token` does."""
    return [each.token for each in parse_tokens(read_for_editing(path), path).values()]


@contextmanager
def lock_token_file(path: Path) -> Iterator[None]:
    """Lock the folder of a token file for this command; raises SettingsError."""
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(f"{path} cannot be changed: {error.strerror}") from error
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(f"another command changes {path}: try again") from error
        except OSError as error:
            raise SettingsError(f"{path} cannot be locked: {error.strerror}") from error
        yield
    finally:
        os.close(folder)


def read_for_editing(path: Path) -> str:
    """Return the text of a token file. Root may edit the file of the user who runs the server."""
    if not file_exists(path):
        raise SettingsError(
            f"{path} does not exist; create it with: install -m 600 /dev/null {path}"
        )
    owners = (path.stat().st_uid,) if os.geteuid() == 0 else ()
    return read_private_file(path, owners=owners)


def replace_file(path: Path, text: str) -> None:
    """Replace a file by one with another text, mode 0600 and the same owner, at once.

    Raises SettingsError if it cannot be written; the file is then unchanged.
    """
    path = path.resolve()
    made = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        status = path.stat()
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            if status.st_uid != os.geteuid():
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fsync(descriptor)
        made.replace(path)
    except OSError as error:
        with suppress(OSError):
            made.unlink()
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error
