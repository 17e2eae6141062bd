"""Checks of data_dir and of the tokens. They create nothing, and block: call them in a thread."""

import os
from pathlib import Path

from marianne_stream.auth.token_source import find_token_source, is_credential
from marianne_stream.auth.tokens import read_proxy_secret
from marianne_stream.cli.diagnostics.finding import Finding, FindingLevel
from marianne_stream.errors import SettingsError


def check_data_dir(folder: Path, *, stores_token: bool) -> Finding:
    """Check that data_dir can be written to or created.

    A failure is an error if the server must store a token there, else a warning.
    """
    subject = "data_dir"
    level: FindingLevel = "error" if stores_token else "warning"
    advice = "give the folder to the server's user, or set data_dir to another one"
    if folder.exists() and not folder.is_dir():
        return Finding(level, subject, f"{folder} is not a folder", advice)
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(level, subject, f"{nearest} is not writable", advice)
    text = "is writable" if folder.exists() else "does not exist yet, and can be created"
    return Finding("ok", subject, f"{folder} {text}")


def check_tokens(token_file: Path | None, data_dir: Path, *, no_auth: bool) -> Finding:
    """Check that the tokens can be read and have not expired."""
    subject = "tokens"
    if no_auth:
        return Finding("ok", subject, "not used, no_auth is set")
    try:
        source = find_token_source(token_file, data_dir)
        if source is None:
            return Finding("ok", subject, "the server generates a token when it starts")
        tokens = source.read()
    except SettingsError as error:
        return Finding("error", subject, str(error), "see docs/how-to/tokens.md")
    expired = [token.name for token in tokens if token.is_expired]
    if len(expired) == len(tokens):
        advice = "add a token to the file, or remove expires="
        return Finding("error", subject, f"all tokens in {source.path} have expired", advice)
    if expired:
        names = ", ".join(expired)
        return Finding("warning", subject, f"expired: {names}", f"remove them from {source.path}")
    return Finding("ok", subject, f"{source.path} has {len(tokens)}")


def check_proxy_secret(path: Path) -> Finding:
    """Check that the secret of a proxy that signs users in can be read."""
    subject = "auth_header_secret_file"
    try:
        read_proxy_secret(path, passed_by_systemd=is_credential(path))
    except SettingsError as error:
        return Finding("error", subject, str(error), "see docs/how-to/single-sign-on.md")
    return Finding("ok", subject, f"{path} can be read")
