"""Single sign-on: users whom a proxy has signed in, and their jobs, in headers of requests."""

import asyncio
import hmac
import random
import time
from functools import lru_cache

from aiohttp import web

from marianne_stream.auth.authenticator import Grant
from marianne_stream.auth.tokens import RIGHTS, digest_secret, parse_rights
from marianne_stream.errors import SignOnRefusedError
from marianne_stream.web.proxy_headers import CACHE_SIZE
from marianne_stream.wire.job_patterns import ALL_JOBS, JobPatterns

# Carries the secret that the proxy and the server share.
SECRET_HEADER = "X-Marianne-Secret"  # noqa: S105 - the name of a header

# The longest e-mail address (RFC 5321 section 4.5.3.1.3).
MAX_USER_CHARS = 254
MAX_JOBS_CHARS = 4096

# Used in place of patterns: all jobs, and the events that belong to no job.
ALL_JOBS_WORD = "*"
RIGHTS_OPTION = "rights="

MAX_KNOWN_USERS = 10_000

WRONG_SECRET = "wrong_secret"  # noqa: S105 - a reason


class SignOnHeaders:
    """Headers in which a trusted proxy names a user and the jobs that the user may see.

    Args:
        user_header: name of the header with the user.
        jobs_header: name of the header with the jobs; None if every user may see all jobs.
        secret: value that `SECRET_HEADER` must have; None if requests on Unix sockets are trusted.
        max_age_s: longest time until streams end, so that their clients pass the proxy again.
    """

    def __init__(
        self, user_header: str, *, jobs_header: str | None, secret: str | None, max_age_s: float
    ) -> None:
        self._user_header = user_header
        self._jobs_header = jobs_header
        self._secret_digest = digest_secret(secret) if secret is not None else None
        self._max_age_s = max_age_s
        # When each user was last seen, by the monotonic clock.
        self._seen_at: dict[str, float] = {}

    def authenticate(self, request: web.Request) -> Grant | None:
        """Return the grant of the user in the headers, or None without a trusted user.

        Raises:
            SignOnRefusedError: the proxy is trusted, and the user or the jobs are invalid.
        """
        users = request.headers.getall(self._user_header, [])
        if not users or self.rejection_reason(request):
            return None
        user = users[0]
        if len(users) > 1 or not is_valid_user(user):
            raise SignOnRefusedError("invalid_user")
        scope, rights = ALL_JOBS, frozenset(RIGHTS)
        if self._jobs_header is not None:
            lists = request.headers.getall(self._jobs_header, [])
            try:
                (text,) = lists
                scope, rights = parse_job_list(text)
            except ValueError as error:
                reason = "invalid_jobs" if any(lists) else "no_jobs"
                raise SignOnRefusedError(reason, user=user) from error
        # Spread the reconnects: after a restart, all streams begin at once.
        max_age_s = self._max_age_s * random.uniform(0.9, 1)  # noqa: S311 - no secret
        return Grant(scope, rights, user=user, max_age_s=max_age_s)

    def rejection_reason(self, request: web.Request) -> str:
        """Return why a user in the headers is not trusted; empty if trusted or without a user."""
        if self._user_header not in request.headers:
            return ""
        if self._secret_digest is None:
            return "" if is_on_unix_socket(request.transport) else "not_unix_socket"
        secrets = request.headers.getall(SECRET_HEADER, [])
        if not secrets:
            return "no_secret"
        digest = digest_secret(",".join(secrets))
        return "" if hmac.compare_digest(self._secret_digest, digest) else WRONG_SECRET

    def mark_seen(self, user: str) -> bool:
        """Record that a user is seen; return True if this is the first time in the maximum age."""
        now = time.monotonic()
        seen_at = self._seen_at.pop(user, None)
        self._seen_at[user] = now
        if len(self._seen_at) > MAX_KNOWN_USERS:
            del self._seen_at[next(iter(self._seen_at))]
        return seen_at is None or now - seen_at > self._max_age_s


def is_on_unix_socket(transport: asyncio.BaseTransport | None) -> bool:
    """Return whether a connection was accepted on a Unix socket.

    A TCP connection that is reset early has no peer's address, but always one of its own.
    """
    address = transport.get_extra_info("sockname") if transport is not None else None
    return isinstance(address, str | bytes)


def is_valid_user(text: str) -> bool:
    """Return whether a text can stand in a log as a user's name: printable, without blanks."""
    return 0 < len(text) <= MAX_USER_CHARS and text.isprintable() and " " not in text


@lru_cache(maxsize=CACHE_SIZE)
def parse_job_list(text: str) -> tuple[JobPatterns, frozenset[str]]:
    """Return the jobs and rights in a header: patterns, separated by commas or blanks.

    `*` means all jobs. `rights=` may be among them; its default is that of a token.

    Raises:
        ValueError: there is no pattern, or the text is invalid.
    """
    words = text.replace(",", " ").split()
    patterns = tuple(word for word in words if "=" not in word)
    options = [word for word in words if "=" in word]
    if not patterns or len(text) > MAX_JOBS_CHARS or not text.isprintable():
        raise ValueError("no printable patterns, or too many")
    if len(options) > 1 or not all(word.startswith(RIGHTS_OPTION) for word in options):
        raise ValueError("rights= is the only option, and may be given once")
    scope = ALL_JOBS if ALL_JOBS_WORD in patterns else JobPatterns(patterns)
    if options:
        return scope, parse_rights(options[0].removeprefix(RIGHTS_OPTION))
    return scope, frozenset(RIGHTS if scope.matches_all else ())
