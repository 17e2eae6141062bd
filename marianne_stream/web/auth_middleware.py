"""Authentication middleware: Host header, CORS preflight, token or session, access to the job."""

import logging
from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from marianne_stream.auth.authenticator import UNRESTRICTED, Authenticator, Grant
from marianne_stream.auth.login_throttle import LoginThrottle
from marianne_stream.errors import InvalidTokenError, JobNotFoundError, UnauthenticatedError
from marianne_stream.web.host_policy import Cors, TrustedHosts
from marianne_stream.web.login_log import LoginLog
from marianne_stream.web.params import read_job_id
from marianne_stream.web.proxy_headers import ClientInfo, TrustedProxies

CLIENT_INFO = web.RequestKey("CLIENT_INFO", ClientInfo)
GRANT = web.RequestKey("GRANT", Grant)

BEARER_PREFIX = "bearer "

# Liveness, and everything that is needed to sign in and out.
PUBLIC_PATHS = frozenset({"/health", "/login", "/logout"})
PUBLIC_PREFIX = "/static/"


class AuthMiddleware:
    """Checks each request before its handler.

    Without an authenticator, every client may see everything.
    """

    def __init__(
        self,
        authenticator: Authenticator | None,
        *,
        trusted_hosts: TrustedHosts,
        cors: Cors,
        proxies: TrustedProxies,
        public_paths: Iterable[str] = (),
    ) -> None:
        self.authenticator = authenticator
        self.login_throttle = LoginThrottle()
        self.accepted_log = LoginLog("accepted", logging.INFO)
        self.refused_log = LoginLog("refused", logging.WARNING)
        self._trusted_hosts = trusted_hosts
        self._cors = cors
        self._proxies = proxies
        self._public_paths = PUBLIC_PATHS.union(public_paths)

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Authenticate a request; this is the middleware. Sets CLIENT_INFO and GRANT."""
        request[CLIENT_INFO] = self._proxies.client_info(request)
        self._trusted_hosts.check(request)
        if (preflight := self._cors.preflight_response(request)) is not None:
            return preflight
        if request.path in self._public_paths or request.path.startswith(PUBLIC_PREFIX):
            request[GRANT] = UNRESTRICTED
        elif (grant := await self._authenticate(request)) is None:
            raise unauthenticated_error(request)
        else:
            request[GRANT] = grant
            require_job_access(request, grant)
        return await handler(request)

    async def session_grant(self, request: web.Request) -> Grant | None:
        """Return the grant of the request's session cookie, or None without a valid session."""
        if self.authenticator is None:
            return UNRESTRICTED
        session_id = request.cookies.get(session_cookie_name(request))
        return await self.authenticator.authenticate_session(session_id) if session_id else None

    async def _authenticate(self, request: web.Request) -> Grant | None:
        """Return the grant of the request's token or session, or None if it has neither.

        Raises:
            InvalidTokenError: the token is invalid; raised after a delay.
            LoginRateLimitError: too many such delays are pending for the client.
        """
        if self.authenticator is None:
            return UNRESTRICTED
        header = request.headers.get("Authorization", "")
        # A proxy may pass on credentials of another scheme, which were for itself.
        if header[: len(BEARER_PREFIX)].lower() != BEARER_PREFIX:
            return await self.session_grant(request)
        text = header[len(BEARER_PREFIX) :].strip()
        # Checked before the throttle: failures from the same address lock out no valid token.
        grant = self.authenticator.authenticate_token(text)
        if grant is None:
            client = request[CLIENT_INFO]
            self.refused_log.write(
                "token refused", client, **self.authenticator.rejection_fields(text)
            )
            await self.login_throttle.penalize(client.rate_limit_key)
            raise InvalidTokenError
        return grant


def require_job_access(request: web.Request, grant: Grant) -> None:
    """Raise JobNotFoundError if the request names a job outside the grant's scope."""
    if "job_id" in request.match_info and not grant.job_scope.matches_all:
        job_id = read_job_id(request)
        if not grant.job_scope(job_id):
            raise JobNotFoundError(job_id)


def unauthenticated_error(request: web.Request) -> Exception:
    """Return a redirect to the login page for a browser, otherwise UnauthenticatedError."""
    if request.method == "GET" and "text/html" in request.headers.get("Accept", "").lower():
        return web.HTTPSeeOther(f"/login?next={quote(request.raw_path, safe='')}")
    return UnauthenticatedError()


def session_cookie_name(request: web.Request) -> str:
    """Return the name of the session cookie, with the port.

    Browsers send a cookie to all ports of a host (RFC 6265 section 8.5).
    """
    default = 443 if request[CLIENT_INFO].secure else 80
    try:
        url = URL.build(scheme="http", authority=request.headers.get("Host", ""))
        port = url.explicit_port or default
    except (ValueError, LookupError):
        port = default
    return f"marianne_stream_{port}"
