"""Authentication middleware: Host header, CORS preflight, credentials, access to the job."""

import logging
from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from marianne_stream.auth.authenticator import UNRESTRICTED, Authenticator, Grant
from marianne_stream.auth.login_throttle import LoginThrottle
from marianne_stream.errors import (
    InvalidTokenError,
    JobNotFoundError,
    SignOnRefusedError,
    UnauthenticatedError,
)
from marianne_stream.web.host_policy import Cors, TrustedHosts
from marianne_stream.web.login_log import LoginLog
from marianne_stream.web.params import read_job_id
from marianne_stream.web.proxy_headers import ClientInfo, TrustedProxies
from marianne_stream.web.root_path import ROOT_PATH, external_path, is_root_path_kept
from marianne_stream.web.sign_on_headers import WRONG_SECRET, SignOnHeaders

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

    def __init__(  # noqa: PLR0913
        self,
        authenticator: Authenticator | None,
        *,
        trusted_hosts: TrustedHosts,
        cors: Cors,
        proxies: TrustedProxies,
        sign_on: SignOnHeaders | None = None,
        public_paths: Iterable[str] = (),
    ) -> None:
        self.authenticator = authenticator
        self.login_throttle = LoginThrottle()
        self.accepted_log = LoginLog("accepted", logging.INFO)
        self.refused_log = LoginLog("refused", logging.WARNING)
        self._trusted_hosts = trusted_hosts
        self._cors = cors
        self._proxies = proxies
        self._sign_on = sign_on
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

    async def browser_grant(self, request: web.Request) -> Grant | None:
        """Return the grant of the user whom a trusted proxy names, otherwise that of the session.

        Raises as `_sign_on_grant` does.
        """
        return await self._sign_on_grant(request) or await self._session_grant(request)

    async def _sign_on_grant(self, request: web.Request) -> Grant | None:
        """Return the grant of the user whom a trusted proxy names, or None.

        A wrong secret is delayed whatever else the request has: an answer without a delay would let
        a client guess the secret.

        Raises:
            SignOnRefusedError: the proxy names no valid user or jobs.
            LoginRateLimitError: too many delays are pending for the client.
        """
        if self._sign_on is None:
            return None
        client = request[CLIENT_INFO]
        if reason := self._sign_on.rejection_reason(request):
            self.refused_log.write("sign-on headers ignored", client, reason=reason)
            if reason == WRONG_SECRET:
                await self.login_throttle.penalize(client.rate_limit_key)
        try:
            grant = self._sign_on.authenticate(request)
        except SignOnRefusedError as error:
            self.refused_log.write("sign-on refused", client, reason=str(error), user=error.user)
            raise
        if grant is not None and self._sign_on.mark_seen(grant.user):
            self.accepted_log.write("signed in", client, user=grant.user, method="proxy")
        return grant

    async def _session_grant(self, request: web.Request) -> Grant | None:
        """Return the grant of the request's session cookie, or None without a valid session."""
        if self.authenticator is None:
            return UNRESTRICTED
        session_id = request.cookies.get(session_cookie_name(request))
        return await self.authenticator.authenticate_session(session_id) if session_id else None

    async def _authenticate(self, request: web.Request) -> Grant | None:
        """Return the grant of the request's user, token or session, or None if it has none.

        A user whom a trusted proxy names takes precedence: neither a token nor an old session may
        give this user more than the proxy does.

        Raises:
            SignOnRefusedError: a trusted proxy names no valid user or jobs.
            InvalidTokenError: the token is invalid; raised after a delay.
            LoginRateLimitError: too many delays are pending for the client.
        """
        if self.authenticator is None:
            return UNRESTRICTED
        if (grant := await self._sign_on_grant(request)) is not None:
            return grant
        header = request.headers.get("Authorization", "")
        # A proxy may pass on credentials of another scheme, which were for itself.
        if header[: len(BEARER_PREFIX)].lower() != BEARER_PREFIX:
            return await self._session_grant(request)
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
    """Return a redirect to the login page for a browser, otherwise UnauthenticatedError.

    If the proxy does not strip `root_path`, it is HTTPNotFound: the redirect would not end.
    """
    if is_root_path_kept(request):
        return web.HTTPNotFound()
    if request.method == "GET" and "text/html" in request.headers.get("Accept", "").lower():
        next_path = quote(external_path(request, request.raw_path), safe="")
        return web.HTTPSeeOther(external_path(request, f"/login?next={next_path}"))
    return UnauthenticatedError()


def session_cookie_name(request: web.Request) -> str:
    """Return the name of the session cookie, with the port and the path of the proxy.

    Browsers send a cookie to all ports of a host (RFC 6265 section 8.5), and that of a server at
    `/` to another one below a path as well.
    """
    default = 443 if request[CLIENT_INFO].secure else 80
    try:
        url = URL.build(scheme="http", authority=request.headers.get("Host", ""))
        port = url.explicit_port or default
    except (ValueError, LookupError):
        port = default
    return f"marianne_stream_{port}{request.app[ROOT_PATH].replace('/', '+')}"
