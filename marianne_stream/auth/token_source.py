"""Where tokens are: in the file that is named, in what systemd passes, or in one of our own."""

import os
from dataclasses import dataclass
from pathlib import Path

from marianne_stream.auth.tokens import (
    GENERATED_TOKEN_FILENAME,
    Token,
    ensure_generated_token,
    read_preferred_token,
    read_tokens,
    read_unrestricted_token,
)

# As `LoadCredential=tokens:…` names it (systemd.exec(5)).
CREDENTIAL_NAME = "tokens"


@dataclass(frozen=True, slots=True)
class TokenSource:
    """A file of tokens.

    Attributes:
        path: the file.
        passed_by_systemd: whether it is a credential.
        is_generated: whether it is the server's own, which nobody has configured.
        is_newly_generated: whether that was made just now.
    """

    path: Path
    passed_by_systemd: bool = False
    is_generated: bool = False
    is_newly_generated: bool = False

    @property
    def description(self) -> str:
        """Which file it is, for a log."""
        if self.passed_by_systemd:
            return f"{self.path}, as systemd copied it when the service started"
        return str(self.path)

    def read(self) -> tuple[Token, ...]:
        """The tokens; raises as `tokens.read_tokens` does."""
        return read_tokens(self.path, passed_by_systemd=self.passed_by_systemd)

    def read_unrestricted_token(self) -> str | None:
        """The first token for all jobs, as it is written; raises as `read` does."""
        return read_unrestricted_token(self.path, passed_by_systemd=self.passed_by_systemd)


def ensure_token_source(token_file: Path | None, data_dir: Path) -> TokenSource:
    """Where the tokens are; makes one where there are none.

    Args:
        token_file: the file that was named, or None.
        data_dir: where the server's own is kept.

    Raises:
        SettingsError: there is none, and none can be made.
    """
    if token_file is not None:
        return TokenSource(token_file, passed_by_systemd=is_credential(token_file))
    folder = find_credentials_dir()
    if folder is not None and (path := folder / CREDENTIAL_NAME).exists():
        return TokenSource(path, passed_by_systemd=True)
    path, made = ensure_generated_token(data_dir)
    return TokenSource(path, is_generated=True, is_newly_generated=made)


def find_token_source(token_file: Path | None, data_dir: Path) -> TokenSource | None:
    """Return where the tokens are; None if a server would make one. Nothing is made here.

    Args: as those of `ensure_token_source`.
    """
    folder = find_credentials_dir()
    passed = folder is not None and (folder / CREDENTIAL_NAME).exists()
    if token_file is None and not passed and not (data_dir / GENERATED_TOKEN_FILENAME).exists():
        return None
    return ensure_token_source(token_file, data_dir)


def find_credentials_dir() -> Path | None:
    """The folder in which systemd passes credentials; None where it passes none."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return Path(folder) if folder else None


def is_credential(path: Path) -> bool:
    """Whether a file lies in the folder of credentials, which nobody else can enter.

    Its own mode says nothing: systemd lets a user in by an access list, which shows as the group's
    right to read (systemd.exec(5), LoadCredential=).
    """
    return path.parent == find_credentials_dir()


def expand_user(path: Path) -> Path:
    """A path with a tilde at its beginning as one of a home folder.

    Raises:
        ValueError: there is no such folder.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("there is no such user") from error


def default_data_dir() -> Path:
    """Where a service keeps what is its own: systemd.exec(5) and the XDG base directories."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    home = os.environ.get("XDG_STATE_HOME", "")
    if given:
        return Path(given)
    if not home.startswith("/"):
        home = "~/.local/state"
    return expand_user(Path(home) / "marianne-stream")


def find_local_token(data_dir: Path) -> str | None:
    """The token that a server of this user has made for itself; None where it has made none.

    Nothing is made here. Raises as `tokens.read_tokens` does.
    """
    path = data_dir / GENERATED_TOKEN_FILENAME
    return read_preferred_token(path) if path.exists() else None
