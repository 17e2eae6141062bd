"""Authentication by tokens, browser sessions and one-time login links.

A successful check returns a grant. It becomes invalid when its token is removed, its session ends,
or its maximum age is reached. Streams and downloads that are open for it check `Grant.is_valid`.
"""

import asyncio
import hmac
import logging
import math
import secrets
import time
from collections.abc import Set as AbstractSet
from operator import attrgetter

from marianne_stream.auth.session_store import SessionStore
from marianne_stream.auth.token_source import TokenSource
from marianne_stream.auth.tokens import RIGHTS, Token, digest_secret, match_token
from marianne_stream.wire.job_patterns import ALL_JOBS, JobPatterns

logger = logging.getLogger(__name__)

LOGIN_LINK_BYTES = 32
LOGIN_LINK_MAX_AGE_S = 3600.0

# Longest time until the streams of a session that has ended, here or in another process, end.
REVOKE_INTERVAL_S = 1.0


class Grant:
    """The right to see the jobs in `job_scope`, until it is revoked or reaches its maximum age.

    `rights` is a subset of `tokens.RIGHTS`. `user` is the user whom a proxy has signed in, and
    empty for tokens and sessions.
    """

    __slots__ = ("__weakref__", "_expires_at", "job_scope", "rights", "user")

    def __init__(
        self,
        job_scope: JobPatterns = ALL_JOBS,
        rights: AbstractSet[str] = frozenset(RIGHTS),
        *,
        user: str = "",
        max_age_s: float = math.inf,
    ) -> None:
        self.job_scope = job_scope
        self.rights = rights
        self.user = user
        self._expires_at = time.monotonic() + max_age_s

    @property
    def is_valid(self) -> bool:
        """False if it was revoked or has expired: its streams and downloads must end."""
        return time.monotonic() < self._expires_at

    def revoke(self) -> None:
        """Make it invalid, so that its streams and downloads end."""
        self._expires_at = -math.inf

    def matches(self, token: Token) -> bool:
        """Return whether this is what a token grants."""
        return self.job_scope == token.job_scope and self.rights == token.rights


# The grant of every client if no token is required, and for public paths.
UNRESTRICTED = Grant()

# Stands for the session in the key of a token's own grant.
NO_SESSION = ""


class Authenticator:
    """Checks tokens and sessions. Raises SettingsError if the tokens cannot be read."""

    def __init__(self, token_source: TokenSource, session_store: SessionStore) -> None:
        self.token_source = token_source
        self.session_store = session_store
        self._tokens = token_source.read()
        # By the digests of token and session.
        self._grants: dict[tuple[str, str], Grant] = {}
        self._logged_expired: set[Token] = set()
        self._link_digest = ""
        self._link_expires_at = 0.0

    def authenticate_token(self, text: str) -> Grant | None:
        """Return the grant of a token, or None if it is invalid."""
        token = self._match_valid_token(text)
        return self._get_grant(token, NO_SESSION) if token is not None else None

    def rejection_fields(self, text: str) -> dict[str, str]:
        """Return why a token was rejected, as fields of a log entry."""
        token = match_token(self._tokens, text)
        if token is None:
            return {"reason": "unknown_token"}
        return {"reason": "expired_token", "token": token.name}

    async def authenticate_session(self, session_id: str) -> Grant | None:
        """Return the grant of a session, or None if it has ended or its token was removed."""
        session = await self.session_store.get(session_id)
        if session is None:
            return None
        token = self._get_valid_token(session.token)
        return self._get_grant(token, session.digest) if token is not None else None

    async def create_session(self, text: str) -> tuple[str, str] | None:
        """Open a session; return its id and the token's name, or None if the token is invalid."""
        token = self._match_valid_token(text)
        return await self._create_session(token) if token is not None else None

    async def redeem_login_link(self, secret: str) -> tuple[str, str] | None:
        """Open a session with the secret of the login link, which becomes invalid.

        Returns the session id and the token's name, or None if the link is invalid.
        """
        valid = (token for token in self._tokens if not token.is_expired)
        token = next((token for token in valid if token.job_scope.matches_all), None)
        if not self._link_digest or token is None or time.monotonic() > self._link_expires_at:
            return None
        if not hmac.compare_digest(self._link_digest, digest_secret(secret)):
            return None
        self._link_digest = ""
        return await self._create_session(token)

    def issue_login_link(self) -> str:
        """Return the secret of a new login link; the one before becomes invalid."""
        secret = secrets.token_urlsafe(LOGIN_LINK_BYTES)
        self._link_digest = digest_secret(secret)
        self._link_expires_at = time.monotonic() + LOGIN_LINK_MAX_AGE_S
        return secret

    async def end_session(self, session_id: str) -> str | None:
        """End a session; return the name of its token, or None if there was no session."""
        session = await self.session_store.get(session_id)
        if session is None:
            return None
        await self.session_store.revoke(session)
        self._revoke_grants({session.digest})
        token = self._get_valid_token(session.token)
        return token.name if token is not None else None

    def reload(self) -> None:
        """Load the tokens again, and revoke the grants of those that were removed or changed.

        Raises:
            SettingsError: the tokens cannot be loaded; the current ones stay valid.
        """
        before, self._tokens = self._tokens, self.token_source.read()
        now = {token.digest: token for token in self._tokens}
        for token in before:
            if token.digest not in now:
                logger.info("token revoked token=%s", token.name)
            elif now[token.digest] != token:
                logger.info("token changed token=%s", now[token.digest].name)
        self._revoke_grants()

    async def revoke_stale(self) -> None:
        """Revoke the grants of tokens and sessions that have expired or ended."""
        self._log_expired()
        # Expired tokens first: they must not wait for a slow session store.
        self._revoke_grants()
        sessions = {digest for _, digest in self._grants if digest != NO_SESSION}
        self._revoke_grants(await self.session_store.find_ended(sessions))

    async def run_revocation(self) -> None:
        """Revoke stale grants once a second, until cancelled."""
        while True:
            await asyncio.sleep(REVOKE_INTERVAL_S)
            await self.revoke_stale()

    async def _create_session(self, token: Token) -> tuple[str, str]:
        return await self.session_store.create(token.digest), token.name

    def _match_valid_token(self, text: str) -> Token | None:
        token = match_token(self._tokens, text)
        return token if token is not None and not token.is_expired else None

    def _get_valid_token(self, digest: str) -> Token | None:
        token = next((token for token in self._tokens if token.digest == digest), None)
        return token if token is not None and not token.is_expired else None

    def _get_grant(self, token: Token, session_digest: str) -> Grant:
        """Return the grant of a token and a session; the same one as long as it is valid."""
        grant = self._grants.get((token.digest, session_digest))
        if grant is None or not grant.matches(token):
            grant = Grant(token.job_scope, token.rights)
            self._grants[token.digest, session_digest] = grant
        return grant

    def _revoke_grants(self, ended_sessions: AbstractSet[str] = frozenset()) -> None:
        """Revoke the grants of some sessions, and of tokens that are not valid any more."""
        for (token_digest, session_digest), grant in list(self._grants.items()):
            token = self._get_valid_token(token_digest)
            if token is None or not grant.matches(token) or session_digest in ended_sessions:
                grant.revoke()
                del self._grants[token_digest, session_digest]

    def _log_expired(self) -> None:
        """Log each token that has expired, once."""
        expired = {token for token in self._tokens if token.is_expired}
        for token in sorted(expired - self._logged_expired, key=attrgetter("name")):
            logger.warning("token expired token=%s", token.name)
        self._logged_expired = expired
