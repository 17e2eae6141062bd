"""Who is let in, before anything else of a request is looked at.

It must not know what the handlers do.
"""

from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from yarl import URL

from marianne_stream.auth.authenticator import UNRESTRICTED, Authenticator, Grant
from marianne_stream.auth.login_throttle import LoginThrottle
from marianne_stream.errors import InvalidTokenError, JobNotFoundError, UnauthenticatedError
from marianne_stream.web.host_policy import HostPolicy
from marianne_stream.web.login_log import LoginLog
from marianne_stream.web.params import read_job_id
from marianne_stream.web.proxy_headers import ClientInfo, TrustedProxies

CLIENT_INFO = web.RequestKey("VISITOR", ClientInfo)
GRANT = web.RequestKey("GRANT", Grant)

BEARER_PREFIX = "bearer "

# What anybody may have: that the process is alive, and what is needed to sign in and out.
PUBLIC_PATHS = frozenset({"/health", "/login", "/logout"})
PUBLIC_PREFIX = "/static/"


class AuthMiddleware:
    """Lets requests in.

    Args:
        authenticator: who knows the tokens and sessions; None where everybody may see everything.
        host_policy: the names that are answered for.
        proxies: who is believed about where a request comes from.
        public_paths: addresses that are open to everybody, besides those that always are.
    """

    def __init__(
        self,
        authenticator: Authenticator | None,
        *,
        host_policy: HostPolicy,
        proxies: TrustedProxies,
        public_paths: Iterable[str] = (),
    ) -> None:
        self.authenticator = authenticator
        self.host_policy = host_policy
        self.login_throttle = LoginThrottle()
        self.login_log = LoginLog()
        self._proxies = proxies
        self._public_paths = PUBLIC_PATHS.union(public_paths)

    def make_middleware(self) -> Middleware:
        """The gate as aiohttp wants it."""

        @web.middleware
        async def let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
            request[CLIENT_INFO] = self._proxies.client_info(request)
            self.host_policy.require_allowed_host(request)
            if (answer := self.host_policy.preflight_response(request)) is not None:
                return answer
            if self._is_public(request.path):
                request[GRANT] = UNRESTRICTED
            elif (grant := await self._authenticate(request)) is None:
                return unauthenticated(request)
            else:
                request[GRANT] = grant
                require_job_access(request, grant)
            return await handler(request)

        return let_in

    async def session_grant(self, request: web.Request) -> Grant | None:
        """What the session of a browser grants; None where there is none."""
        if self.authenticator is None:
            return UNRESTRICTED
        session_id = request.cookies.get(session_cookie_name(request))
        return await self.authenticator.authenticate_session(session_id) if session_id else None

    async def _authenticate(self, request: web.Request) -> Grant | None:
        """What the bearer of a request is granted; None where it bears nothing.

        Raises:
            WrongTokenError: it bears a token that is none; after a while.
            TooManySignInsError: too many such answers wait already.
        """
        if self.authenticator is None:
            return UNRESTRICTED
        header = request.headers.get("Authorization", "")
        # Another scheme is for a proxy before us, which may pass it on.
        if header[: len(BEARER_PREFIX)].lower() != BEARER_PREFIX:
            return await self.session_grant(request)
        # Others' failures, from the same address, lock out nobody who has one.
        text = header[len(BEARER_PREFIX) :].strip()
        grant = self.authenticator.authenticate_token(text)
        if grant is None:
            visitor = request[CLIENT_INFO]
            self.login_log.log_rejected(
                "token refused", visitor, **self.authenticator.rejection_fields(text)
            )
            await self.login_throttle.penalize(visitor.rate_limit_key)
            raise InvalidTokenError
        return grant

    def _is_public(self, path: str) -> bool:
        return path in self._public_paths or path.startswith(PUBLIC_PREFIX)


def require_job_access(request: web.Request, grant: Grant) -> None:
    """Raises JobNotFoundError for a job that the bearer may not see: to him there is none."""
    if "job_id" in request.match_info and not grant.job_scope.matches_all:
        job_id = read_job_id(request)
        if not grant.job_scope(job_id):
            raise JobNotFoundError(job_id)


def unauthenticated(request: web.Request) -> web.StreamResponse:
    """A person is shown the way; a program is told."""
    if request.method == "GET" and "text/html" in request.headers.get("Accept", "").lower():
        raise web.HTTPSeeOther(f"/login?next={quote(request.raw_path, safe='')}")
    raise UnauthenticatedError


def session_cookie_name(request: web.Request) -> str:
    """The session's cookie, with the port: a browser would send one of another port, too.

    RFC 6265 section 8.5.
    """
    default = 443 if request[CLIENT_INFO].secure else 80
    try:
        url = URL.build(scheme="http", authority=request.headers.get("Host", ""))
        port = url.explicit_port or default
    except (ValueError, LookupError):
        port = default
    return f"marianne_stream_{port}"
