"""Lines of a token file: a token, the jobs that it may see, and options.

    TOKEN [PATTERN ...] [name=NAME] [rights=RIGHT[,RIGHT ...]] [expires=TIME]

No error message contains a token, or a word that might be one.
"""

import hashlib
import re
import time
from dataclasses import dataclass
from datetime import datetime

from marianne_stream.errors import SettingsError
from marianne_stream.wire.job_patterns import JobPatterns

# Characters that need no quoting in a header or a form; a shorter token could be guessed.
TOKEN_RE = re.compile(r"[\x21-\x7e]{16,512}")

NAME_RE = re.compile(r"[A-Za-z0-9_.@-]{1,64}")

OPTION_NAMES = ("name", "rights", "expires")

# Rights besides reading the jobs.
RIGHTS = ("files",)

# Option names that an error message may repeat: a token in their place has other characters, or
# more of them.
OPTION_NAME_RE = re.compile(r"[a-z_]{1,15}")


@dataclass(frozen=True, slots=True)
class Token:
    """Token as it is kept in memory: its digest, and never its text.

    Attributes:
        digest: SHA-256 of its text, in hexadecimal.
        rights: rights besides reading the jobs.
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


def digest_secret(text: str) -> str:
    """Return the hash of a secret, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse_token_line(line: str, *, line_number: int, path: object) -> tuple[str, Token] | None:
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
    try:
        return text, Token(
            digest_secret(text),
            JobPatterns(tuple(word for word in words if "=" not in word)),
            name=parse_name(options["name"]) if "name" in options else f"line-{line_number}",
            rights=parse_rights(options["rights"]) if "rights" in options else frozenset(),
            expires_at_s=parse_expiry(options["expires"]) if "expires" in options else None,
        )
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from error


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
    rights = frozenset(text.split(","))
    if not rights.issubset(RIGHTS):
        raise ValueError(f"rights= must be one or more of {', '.join(RIGHTS)}, divided by commas")
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
