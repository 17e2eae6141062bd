"""Tokens: read from a file that is its owner's alone, made where there is none, and compared.

It must not know how a client hands one in.
"""

import hashlib
import hmac
import os
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from marianne_stream.auth.token_lines import TokenLine, parse_token_line
from marianne_stream.errors import SettingsError
from marianne_stream.wire.job_patterns import JobPatterns

GENERATED_TOKEN_BYTES = 32
GENERATED_TOKEN_FILENAME = "token"  # noqa: S105 - the name of a file

MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept in memory.

    Attributes:
        digest: SHA-256 of its text, in hexadecimal: all that is needed to know it again.
        job_scope: the jobs that its bearer may see.
        name: how the log names it.
        rights: what it allows besides reading its jobs.
        expires_at_s: when it is refused from, in epoch seconds; None for never.
    """

    digest: str
    job_scope: JobPatterns
    name: str = ""
    rights: frozenset[str] = frozenset()
    expires_at_s: float | None = None

    @property
    def is_expired(self) -> bool:
        """Whether it is refused by now."""
        return self.expires_at_s is not None and time.time() >= self.expires_at_s


def digest_secret(text: str) -> str:
    """What stands for a secret where it need not be told."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def match_token(tokens: tuple[Token, ...], text: str) -> Token | None:
    """The token that a text is, in a time that does not tell how near it came to one."""
    digest = digest_secret(text)
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def read_tokens(path: Path, *, passed_by_systemd: bool = False) -> tuple[Token, ...]:
    """The tokens of a file: one a line, as `token_lines` describes it; `#` for comments.

    Args:
        path: the file.
        passed_by_systemd: it is a credential, whose folder nobody else can enter
            (systemd.exec(5), LoadCredential=), whatever its own mode is.

    Raises:
        SettingsError: it cannot be read, others than its owner may read it, or a line is no token.
            The message never holds a token.
    """
    return tuple(
        Token(
            digest_secret(line.token),
            JobPatterns(line.patterns),
            name=line.name,
            rights=line.rights,
            expires_at_s=line.expires_at_s,
        )
        for line in parse_token_file(path, passed_by_systemd=passed_by_systemd)
    )


def read_unrestricted_token(path: Path, *, passed_by_systemd: bool = False) -> str | None:
    """The first token of a file that sees all jobs, as it is written; None where there is none.

    Raises: as `read_tokens` does.
    """
    now_s = time.time()
    for line in parse_token_file(path, passed_by_systemd=passed_by_systemd):
        if not line.patterns and not line.is_expired(now_s):
            return line.token
    return None


def read_preferred_token(path: Path) -> str:
    """The first token of a file that sees all jobs, else its first; raises as `read_tokens` does.

    What a client sends, for which a few jobs are better than none.
    """
    now_s = time.time()
    lines = parse_token_file(path, passed_by_systemd=False)
    lasting = [line for line in lines if not line.is_expired(now_s)] or lines
    return next((line.token for line in lasting if not line.patterns), lasting[0].token)


def parse_token_file(path: Path, *, passed_by_systemd: bool) -> list[TokenLine]:
    """The lines of a file that have a token; raises as `read_tokens` does."""
    found: dict[str, TokenLine] = {}
    names: set[str] = set()
    text = read_private_file(path, passed_by_systemd=passed_by_systemd)
    for number, words in enumerate(text.splitlines(), start=1):
        line = parse_token_line(words, line_number=number, path=path)
        if line is None:
            continue
        if line.token in found:
            raise SettingsError(f"line {number} of {path} has a token that was there before")
        if line.name in names:
            raise SettingsError(f"line {number} of {path} has a name that was there before")
        found[line.token] = line
        names.add(line.name)
    if not found:
        raise SettingsError(f"{path} holds no token: nobody could come in")
    return list(found.values())


def read_private_file(
    path: Path, *, passed_by_systemd: bool = False, content_name: str = "tokens"
) -> str:
    """The text of a file that only its owner may read; raises as `read_tokens` does.

    Args:
        path: the file.
        passed_by_systemd: as in `read_tokens`.
        content_name: what is in it, in a word or two.
    """
    try:
        # Not blocking: it may be a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(MAX_FILE_BYTES + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise SettingsError(
            f"the {content_name} in {path} cannot be read: {error.strerror}"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(f"the {content_name} must be in a regular file, and {path} is none")
    mode = stat.S_IMODE(status.st_mode)
    if not passed_by_systemd and (mode & 0o077 or status.st_uid not in (0, os.geteuid())):
        raise SettingsError(
            f"{path} holds the {content_name}, and must be its owner's alone (chmod 600, owned "
            f"by the user "
            f"who runs this); it has mode {mode:04o} and belongs to user {status.st_uid}"
        )
    if len(data) > MAX_FILE_BYTES:
        raise SettingsError(f"{path} must hold no more than {MAX_FILE_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} must be text in UTF-8: {error}") from error


def ensure_generated_token(folder: Path) -> tuple[Path, bool]:
    """The file of this server's own token, and whether it was made, since it was not there.

    Raises:
        SettingsError: it cannot be made.
    """
    path = folder / GENERATED_TOKEN_FILENAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            return path, False
        # Written aside and then linked: whoever comes at the same moment finds all of it, or makes
        # it himself, and one of the two wins.
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
            f"no token can be kept in {folder}: {error.strerror}; name another data_dir, or a "
            "token_file"
        ) from error
    return path, True
