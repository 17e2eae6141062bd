"""Where tokens are: in the file that is named, in what systemd passes, or in one of our own."""

import os
from dataclasses import dataclass
from pathlib import Path

from marianne_stream.access.tokens import Token, first_token, own_token, read_tokens

# As `LoadCredential=tokens:…` names it (systemd.exec(5)).
CREDENTIAL = "tokens"


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """A file of tokens.

    Attributes:
        path: the file.
        passed_by_systemd: whether it is a credential.
        own: whether it is the server's own, which nobody has configured.
        made: whether that was made just now.
    """

    path: Path
    passed_by_systemd: bool = False
    own: bool = False
    made: bool = False

    def read(self) -> tuple[Token, ...]:
        """The tokens; raises as `tokens.read_tokens` does."""
        return read_tokens(self.path, passed_by_systemd=self.passed_by_systemd)

    def first(self) -> str | None:
        """The first token for all jobs, as it is written; raises as `read` does."""
        return first_token(self.path, passed_by_systemd=self.passed_by_systemd)


def token_place(token_file: Path | None, private_dir: Path) -> TokenPlace:
    """Where the tokens are; makes one where there are none.

    Args:
        token_file: the file that was named, or None.
        private_dir: where the server's own is kept.

    Raises:
        SettingsError: there is none, and none can be made.
    """
    if token_file is not None:
        return TokenPlace(token_file)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if credentials and (path := Path(credentials) / CREDENTIAL).exists():
        return TokenPlace(path, passed_by_systemd=True)
    path, made = own_token(private_dir)
    return TokenPlace(path, own=True, made=made)
