"""Construction of the authenticator."""

import logging
from pathlib import Path

from marianne_stream.auth.authenticator import Authenticator
from marianne_stream.auth.session_store import SessionStore
from marianne_stream.auth.token_source import ensure_token_source

logger = logging.getLogger(__name__)


def open_authenticator(
    token_file: Path | None, *, data_dir: Path, session_max_age_s: float
) -> Authenticator:
    """Open the tokens and sessions. Without a token file, a token is generated.

    Args:
        token_file: file with tokens, or None.
        data_dir: folder of a generated token and of the sessions.
        session_max_age_s: lifetime of a session, in seconds.

    Raises:
        SettingsError: the tokens cannot be read or generated.
    """
    token_source = ensure_token_source(token_file, data_dir)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        logger.warning("sessions not saved data_dir=%s error=%r", data_dir, str(error))
    return Authenticator(
        token_source.read,
        SessionStore(data_dir, max_age_s=session_max_age_s),
        is_generated=token_source.is_generated,
        is_newly_generated=token_source.is_newly_generated,
        source_description=token_source.description,
    )
