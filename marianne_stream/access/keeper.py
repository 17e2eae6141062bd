"""Who is let in: by a token, by the session of a browser, or by a link that works once.

What one is let in with is a grant. It ends when its token is taken back or its session is over, and
whoever holds a stream by it is to be told. It must not know what a request is.
"""

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable

from marianne_stream.access.sessions import Sessions
from marianne_stream.access.tokens import Token, digest_of, find
from marianne_stream.wire.job_patterns import ALL_JOBS, JobPatterns

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
        self._link = ""
        self._link_ends_at = 0.0

    def by_token(self, text: str) -> Grant | None:
        """What a token grants; None where it is none."""
        token = find(self._tokens, text)
        return self._grant(token, NO_SESSION) if token is not None else None

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
        token = find(self._tokens, text)
        return self._sessions.add(token.digest) if token is not None else None

    def sign_in_by_link(self, text: str) -> str | None:
        """Opens a session by the link, which works no more from then on; None where it does not."""
        link, whole = self._link, [token for token in self._tokens if token.jobs.all_jobs]
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
        self._tokens = self._read()
        self.review()

    def review(self) -> None:
        """Revokes what is a right no more: to be called now and then, since sessions end."""
        self._sessions.refresh()
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

    def _token(self, digest: str) -> Token | None:
        return next((token for token in self._tokens if token.digest == digest), None)

    def _grant(self, token: Token, session: str) -> Grant:
        """The one grant of a token and a session."""
        grant = self._grants.get((token.digest, session))
        if grant is None or grant.jobs != token.jobs:
            grant = self._grants[token.digest, session] = Grant(token.jobs)
        return grant
