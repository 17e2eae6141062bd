"""A line of a file of tokens: the token, the jobs that it is for, and its options.

    TOKEN [PATTERN ...] [name=NAME] [rights=RIGHT[,RIGHT ...]] [expires=TIME]

No message of an error holds a token, or a word that might be one.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from marianne_stream.errors import SettingsError

# What a header and a form can hold without quoting; fewer characters could be guessed.
TOKEN_RE = re.compile(r"[\x21-\x7e]{16,512}")

NAME_RE = re.compile(r"[A-Za-z0-9_.@-]{1,64}")

OPTION_NAMES = ("name", "rights", "expires")

# What a token may allow besides reading its jobs.
RIGHTS = ("files",)

# An option's name as an error repeats it. A token that stands in the place of one has other
# characters, or more of them.
OPTION_NAME_RE = re.compile(r"[a-z_]{1,15}")


@dataclass(frozen=True, slots=True)
class TokenLine:
    """What a line says.

    Attributes:
        token: the token itself.
        patterns: patterns of job ids; none for all jobs.
        name: how the log names the token.
        rights: what it allows besides reading its jobs.
        expires_at_s: when it is refused from, in epoch seconds; None for never.
    """

    token: str
    patterns: tuple[str, ...]
    name: str
    rights: frozenset[str] = frozenset()
    expires_at_s: float | None = None

    def is_expired(self, now_s: float) -> bool:
        """Return whether the token is refused at a time, in epoch seconds."""
        return self.expires_at_s is not None and now_s >= self.expires_at_s


def parse_token_line(line: str, *, line_number: int, path: object) -> TokenLine | None:
    """Return what a line says, or None if it is blank or a comment.

    Args:
        line: the line.
        line_number: its number, from 1: a token without a name is called `line-NUMBER`.
        path: the file, as an error names it.

    Raises:
        SettingsError: the line does not begin with a token, or an option is not valid.
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
        return TokenLine(
            text,
            tuple(word for word in words if "=" not in word),
            name=parse_name(options["name"]) if "name" in options else f"line-{line_number}",
            rights=parse_rights(options["rights"]) if "rights" in options else frozenset(),
            expires_at_s=parse_expiry(options["expires"]) if "expires" in options else None,
        )
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from error


def parse_options(words: list[str], location: str) -> dict[str, str]:
    """Return the options of a line by their names; raises as `parse_token_line` does."""
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
    """Return a name; raises ValueError if it is not valid."""
    if not NAME_RE.fullmatch(text):
        raise ValueError("name= must have 1 to 64 letters, digits, dots, dashes, underscores or @")
    return text


def parse_rights(text: str) -> frozenset[str]:
    """Return the rights that commas divide; raises ValueError if there is no such right."""
    rights = frozenset(text.split(","))
    if not rights.issubset(RIGHTS):
        raise ValueError(f"rights= must be one or more of {', '.join(RIGHTS)}, divided by commas")
    return rights


def parse_expiry(text: str) -> float:
    """Return a time in ISO 8601 as epoch seconds: local time if it names no zone.

    A date is its beginning. Raises ValueError if it is not a time.
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(
            "expires= must be a date or a time in ISO 8601, as 2026-12-31 or 2026-12-31T18:00Z"
        ) from error
