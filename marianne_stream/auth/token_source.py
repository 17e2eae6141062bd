"""Location of the token file: the configured one, a systemd credential, or a generated one."""

import os
from dataclasses import dataclass
from pathlib import Path

from marianne_stream.auth.tokens import (
    GENERATED_TOKEN_FILENAME,
    FileToken,
    Token,
    ensure_generated_token,
    file_exists,
    read_preferred_token,
    read_tokens,
)

# Name in `LoadCredential=tokens:…` (systemd.exec(5)).
CREDENTIAL_NAME = "tokens"


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Token file; one that the server generates if none is configured."""

    path: Path
    passed_by_systemd: bool = False
    is_generated: bool = False
    is_newly_generated: bool = False

    @property
    def description(self) -> str:
        """The file and its origin, for the log."""
        if self.passed_by_systemd:
            return f"{self.path}, as systemd copied it when the service started"
        return str(self.path)

    def read(self) -> tuple[Token, ...]:
        """Return the tokens; raises as `tokens.read_tokens` does."""
        return tuple(read_tokens(self.path, passed_by_systemd=self.passed_by_systemd).values())

    def read_preferred_token(self) -> FileToken:
        """Return the token that a client should send; as `tokens.read_preferred_token`."""
        return read_preferred_token(self.path, passed_by_systemd=self.passed_by_systemd)


def ensure_token_source(token_file: Path | None, data_dir: Path) -> TokenSource:
    """Return the token file to use, and generate one in `data_dir` if there is none.

    Raises:
        SettingsError: there is no token file, and none can be created.
    """
    found = find_configured_source(token_file)
    if found is not None:
        return found
    path, is_new = ensure_generated_token(data_dir)
    return TokenSource(path, is_generated=True, is_newly_generated=is_new)


def find_token_source(token_file: Path | None, data_dir: Path) -> TokenSource | None:
    """Return the token file to use, or None if a server would have to generate one.

    Raises SettingsError if its folder may not be searched.
    """
    found = find_configured_source(token_file)
    path = data_dir / GENERATED_TOKEN_FILENAME
    if found is None and file_exists(path):
        found = TokenSource(path, is_generated=True)
    return found


def find_configured_source(token_file: Path | None) -> TokenSource | None:
    """Return the given token file, or that of a systemd credential."""
    folder = find_credentials_dir()
    if token_file is None and folder is not None and file_exists(folder / CREDENTIAL_NAME):
        token_file = folder / CREDENTIAL_NAME
    if token_file is None:
        return None
    return TokenSource(token_file, passed_by_systemd=is_credential(token_file))


def find_credentials_dir() -> Path | None:
    """Return the directory in which systemd passes credentials, or None."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return Path(folder) if folder else None


def is_credential(path: Path) -> bool:
    """Return whether a file is in the directory of credentials, which other users cannot enter.

    Its mode is not checked: systemd grants access by an access list, which shows as a right of the
    group (systemd.exec(5), LoadCredential=).
    """
    return path.parent == find_credentials_dir()


def expand_user(path: Path) -> Path:
    """Expand a tilde at the beginning of a path; raise ValueError if there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("unknown user") from error


def default_data_dir() -> Path:
    """Return the default data directory (systemd.exec(5), XDG base directories)."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    home = os.environ.get("XDG_STATE_HOME", "")
    if given:
        return Path(given)
    if not home.startswith("/"):
        home = "~/.local/state"
    return expand_user(Path(home) / "marianne-stream")


def find_local_token(data_dir: Path) -> str | None:
    """Return the token that a server of this user has generated, or None.

    Raises as `tokens.read_tokens` does.
    """
    path = data_dir / GENERATED_TOKEN_FILENAME
    return read_preferred_token(path).text if file_exists(path) else None
