"""The folder of private data, and the tokens. Nothing is made here. Blocks: for a thread."""

import os
from pathlib import Path

from marianne_stream.auth.token_source import find_token_source
from marianne_stream.cli.diagnostics.finding import Finding, FindingLevel
from marianne_stream.errors import SettingsError


def check_data_dir(folder: Path, *, stores_token: bool) -> Finding:
    """Look whether a folder can be written to, or made.

    Args:
        folder: the folder for sessions and the server's own token.
        stores_token: whether the server needs it, to make a token of its own.
    """
    subject = "data_dir"
    level: FindingLevel = "error" if stores_token else "warning"
    advice = "give it to the user who runs the server, or name another folder with data_dir"
    if folder.exists() and not folder.is_dir():
        return Finding(level, subject, f"{folder} is not a folder", advice)
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(level, subject, f"{nearest} cannot be written to", advice)
    text = "can be written to" if folder.exists() else "is not there yet, and can be made"
    return Finding("ok", subject, f"{folder} {text}")


def check_tokens(token_file: Path | None, data_dir: Path, *, no_auth: bool) -> Finding:
    """Read the tokens, if the server asks for one."""
    subject = "tokens"
    if no_auth:
        return Finding("ok", subject, "insecure is set, and nobody is asked for one")
    place = find_token_source(token_file, data_dir)
    if place is None:
        return Finding("ok", subject, "the server makes one of its own at its start")
    try:
        tokens = place.read()
    except SettingsError as error:
        return Finding("error", subject, str(error), "see docs/how-to/tokens.md")
    expired = [token.name for token in tokens if token.is_expired]
    if len(expired) == len(tokens):
        advice = "add a token to the file, or remove expires="
        return Finding("error", subject, f"all tokens in {place.path} have expired", advice)
    if expired:
        names = ", ".join(expired)
        return Finding("warning", subject, f"expired: {names}", f"remove them from {place.path}")
    return Finding("ok", subject, f"{place.path} has {len(tokens)}")
