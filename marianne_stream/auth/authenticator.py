"""Who is let in: by a token, by the session of a browser, or by a link that works once.

What one is let in with is a grant. It ends when its token is taken back or its session is over, and
whoever holds a stream by it is to be told. It must not know what a request is.
"""

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Callable
from operator import attrgetter

from marianne_stream.auth.session_store import SessionStore
from marianne_stream.auth.tokens import Token, digest_secret, match_token
from marianne_stream.wire.job_patterns import ALL_JOBS, JobPatterns

logger = logging.getLogger(__name__)

LOGIN_LINK_BYTES = 32
LOGIN_LINK_MAX_AGE_S = 3600.0

# How soon a session that has ended, here or in another process, ends its streams.
REVOKE_INTERVAL_S = 1.0


class Grant:
    """The right to see some jobs, until it is revoked.

    Args:
        job_scope: which.

    Attributes:
        job_scope: the same.
        revoked: whether it is a right no more.
    """

    __slots__ = ("__weakref__", "job_scope", "revoked")

    def __init__(self, job_scope: JobPatterns = ALL_JOBS) -> None:
        self.job_scope = job_scope
        self.revoked = False


# What everybody has where no token is asked for.
UNRESTRICTED = Grant()

# Without a session of a browser behind it.
NO_SESSION = ""


class Authenticator:
    """Lets in who has a token, or a session that was opened with one.

    Args:
        load_tokens: gives the tokens; called again by `reload`. It raises a SettingsError where it
            cannot.
        session_store: the sessions of browsers.
        is_generated: whether the token is one that the server has made for itself.
        is_newly_generated: whether it did so just now.
        source_description: where the tokens are, as a log names it.

    Attributes:
        source_description: the same.
        is_generated: the same.
        is_newly_generated: the same.
    """

    def __init__(
        self,
        load_tokens: Callable[[], tuple[Token, ...]],
        session_store: SessionStore,
        *,
        is_generated: bool = False,
        is_newly_generated: bool = False,
        source_description: str = "",
    ) -> None:
        self.source_description = source_description
        self.is_generated = is_generated
        self.is_newly_generated = is_newly_generated
        self._load_tokens = load_tokens
        self._session_store = session_store
        self._tokens = load_tokens()
        # By the digests of token and session.
        self._grants: dict[tuple[str, str], Grant] = {}
        self._logged_expired: set[Token] = set()
        self._link_digest = ""
        self._link_expires_at = 0.0

    def authenticate_token(self, text: str) -> Grant | None:
        """What a token grants; None where it is none."""
        token = self._match_valid_token(text)
        return self._get_grant(token, NO_SESSION) if token is not None else None

    def rejection_fields(self, text: str) -> dict[str, str]:
        """Return why a text is not let in, as fields of a line of the log."""
        token = match_token(self._tokens, text)
        if token is None:
            return {"reason": "unknown_token"}
        return {"reason": "expired_token", "token": token.name}

    def authenticate_session(self, session_id: str) -> Grant | None:
        """What a session grants; None where it is over, or its token is one no more."""
        found = self._session_store.get(session_id)
        if found is None:
            return None
        digest, session = found
        token = self._get_valid_token(session.token)
        return self._get_grant(token, digest) if token is not None else None

    def create_session(self, text: str) -> str | None:
        """Opens a session with a token, and gives its id; None where it is none."""
        token = self._match_valid_token(text)
        return self._session_store.create(token.digest) if token is not None else None

    def session_token_name(self, session_id: str) -> str:
        """Return the name of the token that a session was opened with; "" if it has ended."""
        found = self._session_store.get(session_id)
        token = self._get_valid_token(found[1].token) if found is not None else None
        return token.name if token is not None else ""

    def redeem_login_link(self, secret: str) -> str | None:
        """Opens a session by the link, which works no more from then on; None where it does not."""
        lasting = (token for token in self._tokens if not token.is_expired)
        link, whole = self._link_digest, [token for token in lasting if token.job_scope.matches_all]
        if not link or not whole or time.monotonic() > self._link_expires_at:
            return None
        if not hmac.compare_digest(link, digest_secret(secret)):
            return None
        self._link_digest = ""
        return self._session_store.create(whole[0].digest)

    def issue_login_link(self) -> str:
        """The secret of a link that signs in whoever comes first; the one before works no more."""
        secret = secrets.token_urlsafe(LOGIN_LINK_BYTES)
        self._link_digest = digest_secret(secret)
        self._link_expires_at = time.monotonic() + LOGIN_LINK_MAX_AGE_S
        return secret

    def end_session(self, session_id: str) -> None:
        """Ends a session; what is none costs nothing."""
        if self._session_store.get(session_id) is None:
            return
        self._session_store.revoke(session_id)
        self.revoke_stale()

    def reload(self) -> None:
        """Reads the tokens again; those that are gone, or see other jobs now, are revoked.

        Raises:
            SettingsError: they cannot be read. Those that were known stay.
        """
        before, self._tokens = self._tokens, self._load_tokens()
        now = {token.digest: token for token in self._tokens}
        for token in before:
            if token.digest not in now:
                logger.info("token revoked token=%s", token.name)
            elif now[token.digest] != token:
                logger.info("token changed token=%s", now[token.digest].name)
        self.revoke_stale()

    def revoke_stale(self) -> None:
        """Revokes what is a right no more: to be called now and then, since sessions end."""
        self._session_store.sync()
        self._log_expired()
        for (token_digest, session), grant in list(self._grants.items()):
            token = self._get_valid_token(token_digest)
            lasts = session == NO_SESSION or self._session_store.is_valid(session)
            if token is None or token.job_scope != grant.job_scope or not lasts:
                grant.revoked = True
                del self._grants[token_digest, session]

    async def run_revocation(self) -> None:
        """Revokes what is a right no more, once a second, until it is cancelled."""
        while True:
            await asyncio.sleep(REVOKE_INTERVAL_S)
            self.revoke_stale()

    def _match_valid_token(self, text: str) -> Token | None:
        token = match_token(self._tokens, text)
        return token if token is not None and not token.is_expired else None

    def _get_valid_token(self, digest: str) -> Token | None:
        found = next((token for token in self._tokens if token.digest == digest), None)
        return found if found is not None and not found.is_expired else None

    def _log_expired(self) -> None:
        """Log each token that has expired, once."""
        expired = {token for token in self._tokens if token.is_expired}
        for token in sorted(expired - self._logged_expired, key=attrgetter("name")):
            logger.warning("token expired token=%s", token.name)
        self._logged_expired = expired

    def _get_grant(self, token: Token, session_digest: str) -> Grant:
        """The one grant of a token and a session."""
        grant = self._grants.get((token.digest, session_digest))
        if grant is None or grant.job_scope != token.job_scope:
            grant = self._grants[token.digest, session_digest] = Grant(token.job_scope)
        return grant
