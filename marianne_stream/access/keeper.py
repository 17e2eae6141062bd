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

from marianne_stream.access.sessions import Sessions
from marianne_stream.access.tokens import Token, digest_of, find
from marianne_stream.wire.job_patterns import ALL_JOBS, JobPatterns

logger = logging.getLogger(__name__)

LINK_BYTES = 32
LINK_MAX_AGE_S = 3600.0

# How soon a session that has ended, here or in another process, ends its streams.
REVIEW_S = 1.0


class Grant:
    """The right to see some jobs, until it is revoked.

    Args:
        jobs: which.

    Attributes:
        jobs: the same.
        revoked: whether it is a right no more.
    """

    __slots__ = ("__weakref__", "jobs", "revoked")

    def __init__(self, jobs: JobPatterns = ALL_JOBS) -> None:
        self.jobs = jobs
        self.revoked = False


# What everybody has where no token is asked for.
EVERYTHING = Grant()

# Without a session of a browser behind it.
NO_SESSION = ""


class Keeper:
    """Lets in who has a token, or a session that was opened with one.

    Args:
        read: gives the tokens; called again by `reload`. It raises a SettingsError where it cannot.
        sessions: the sessions of browsers.
        own: whether the token is one that the server has made for itself.
        made: whether it did so just now.
        source: where the tokens are, as a log names it.

    Attributes:
        source: the same.
        own: the same.
        made: the same.
    """

    def __init__(
        self,
        read: Callable[[], tuple[Token, ...]],
        sessions: Sessions,
        *,
        own: bool = False,
        made: bool = False,
        source: str = "",
    ) -> None:
        self.source = source
        self.own = own
        self.made = made
        self._read = read
        self._sessions = sessions
        self._tokens = read()
        # By the digests of token and session.
        self._grants: dict[tuple[str, str], Grant] = {}
        self._told_expired: set[Token] = set()
        self._link = ""
        self._link_ends_at = 0.0

    def by_token(self, text: str) -> Grant | None:
        """What a token grants; None where it is none."""
        token = self._found(text)
        return self._grant(token, NO_SESSION) if token is not None else None

    def why_refused(self, text: str) -> dict[str, str]:
        """Return why a text is not let in, as fields of a line of the log."""
        token = find(self._tokens, text)
        if token is None:
            return {"reason": "unknown_token"}
        return {"reason": "expired_token", "token": token.name}

    def by_session(self, session_id: str) -> Grant | None:
        """What a session grants; None where it is over, or its token is one no more."""
        found = self._sessions.find(session_id)
        if found is None:
            return None
        digest, session = found
        token = self._token(session.token)
        return self._grant(token, digest) if token is not None else None

    def sign_in(self, text: str) -> str | None:
        """Opens a session with a token, and gives its id; None where it is none."""
        token = self._found(text)
        return self._sessions.add(token.digest) if token is not None else None

    def name_of_session(self, session_id: str) -> str:
        """Return the name of the token that a session was opened with; "" if it has ended."""
        found = self._sessions.find(session_id)
        token = self._token(found[1].token) if found is not None else None
        return token.name if token is not None else ""

    def sign_in_by_link(self, text: str) -> str | None:
        """Opens a session by the link, which works no more from then on; None where it does not."""
        lasting = (token for token in self._tokens if not token.is_expired)
        link, whole = self._link, [token for token in lasting if token.jobs.matches_all]
        if not link or not whole or time.monotonic() > self._link_ends_at:
            return None
        if not hmac.compare_digest(link, digest_of(text)):
            return None
        self._link = ""
        return self._sessions.add(whole[0].digest)

    def new_link(self) -> str:
        """The secret of a link that signs in whoever comes first; the one before works no more."""
        secret = secrets.token_urlsafe(LINK_BYTES)
        self._link = digest_of(secret)
        self._link_ends_at = time.monotonic() + LINK_MAX_AGE_S
        return secret

    def sign_out(self, session_id: str) -> None:
        """Ends a session; what is none costs nothing."""
        if self._sessions.find(session_id) is None:
            return
        self._sessions.remove(session_id)
        self.review()

    def reload(self) -> None:
        """Reads the tokens again; those that are gone, or see other jobs now, are revoked.

        Raises:
            SettingsError: they cannot be read. Those that were known stay.
        """
        before, self._tokens = self._tokens, self._read()
        now = {token.digest: token for token in self._tokens}
        for token in before:
            if token.digest not in now:
                logger.info("token revoked token=%s", token.name)
            elif now[token.digest] != token:
                logger.info("token changed token=%s", now[token.digest].name)
        self.review()

    def review(self) -> None:
        """Revokes what is a right no more: to be called now and then, since sessions end."""
        self._sessions.refresh()
        self._say_expired()
        for (token_digest, session), grant in list(self._grants.items()):
            token = self._token(token_digest)
            lasts = session == NO_SESSION or self._sessions.is_open(session)
            if token is None or token.jobs != grant.jobs or not lasts:
                grant.revoked = True
                del self._grants[token_digest, session]

    async def run(self) -> None:
        """Revokes what is a right no more, once a second, until it is cancelled."""
        while True:
            await asyncio.sleep(REVIEW_S)
            self.review()

    def _found(self, text: str) -> Token | None:
        token = find(self._tokens, text)
        return token if token is not None and not token.is_expired else None

    def _token(self, digest: str) -> Token | None:
        found = next((token for token in self._tokens if token.digest == digest), None)
        return found if found is not None and not found.is_expired else None

    def _say_expired(self) -> None:
        """Log each token that has expired, once."""
        expired = {token for token in self._tokens if token.is_expired}
        for token in sorted(expired - self._told_expired, key=attrgetter("name")):
            logger.warning("token expired token=%s", token.name)
        self._told_expired = expired

    def _grant(self, token: Token, session: str) -> Grant:
        """The one grant of a token and a session."""
        grant = self._grants.get((token.digest, session))
        if grant is None or grant.jobs != token.jobs:
            grant = self._grants[token.digest, session] = Grant(token.jobs)
        return grant
