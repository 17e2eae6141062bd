"""Who is let in, before anything else of a request is looked at.

It must not know what the handlers do.
"""

from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from yarl import URL

from marianne_stream.access.keeper import EVERYTHING, Grant, Keeper
from marianne_stream.access.slowing import Slowing
from marianne_stream.errors import JobNotFoundError, NotSignedInError, WrongTokenError
from marianne_stream.web.params import job_id_of
from marianne_stream.web.sign_in_log import SignInLog
from marianne_stream.web.sites import Sites
from marianne_stream.web.visitor import Proxies, Visitor

VISITOR = web.RequestKey("VISITOR", Visitor)
GRANT = web.RequestKey("GRANT", Grant)

BEARER = "bearer "

# What anybody may have: that the process is alive, and what is needed to sign in and out.
OPEN_PATHS = frozenset({"/health", "/login", "/logout"})
OPEN_FOLDER = "/static/"


class Gate:
    """Lets requests in.

    Args:
        keeper: who knows the tokens and sessions; None where everybody may see everything.
        sites: the names that are answered for.
        proxies: who is believed about where a request comes from.
        open_paths: addresses that are open to everybody, besides those that always are.
    """

    def __init__(
        self,
        keeper: Keeper | None,
        *,
        sites: Sites,
        proxies: Proxies,
        open_paths: Iterable[str] = (),
    ) -> None:
        self.keeper = keeper
        self.sites = sites
        self.slowing = Slowing()
        self.log = SignInLog()
        self._proxies = proxies
        self._open_paths = OPEN_PATHS.union(open_paths)

    def middleware(self) -> Middleware:
        """The gate as aiohttp wants it."""

        @web.middleware
        async def let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
            request[VISITOR] = self._proxies.visitor(request)
            self.sites.check_host(request)
            if (answer := self.sites.preflight(request)) is not None:
                return answer
            if self._is_open(request.path):
                request[GRANT] = EVERYTHING
            elif (grant := await self._grant(request)) is None:
                return unauthenticated(request)
            else:
                request[GRANT] = grant
                check_job(request, grant)
            return await handler(request)

        return let_in

    async def known(self, request: web.Request) -> Grant | None:
        """What the session of a browser grants; None where there is none."""
        if self.keeper is None:
            return EVERYTHING
        session_id = request.cookies.get(cookie_name(request))
        return self.keeper.by_session(session_id) if session_id else None

    async def _grant(self, request: web.Request) -> Grant | None:
        """What the bearer of a request is granted; None where it bears nothing.

        Raises:
            WrongTokenError: it bears a token that is none; after a while.
            TooManySignInsError: too many such answers wait already.
        """
        if self.keeper is None:
            return EVERYTHING
        header = request.headers.get("Authorization", "")
        # Another scheme is for a proxy before us, which may pass it on.
        if header[: len(BEARER)].lower() != BEARER:
            return await self.known(request)
        # Others' failures, from the same address, lock out nobody who has one.
        text = header[len(BEARER) :].strip()
        grant = self.keeper.by_token(text)
        if grant is None:
            visitor = request[VISITOR]
            self.log.refused("token refused", visitor, **self.keeper.why_refused(text))
            await self.slowing.failed(visitor.counted_as)
            raise WrongTokenError
        return grant

    def _is_open(self, path: str) -> bool:
        return path in self._open_paths or path.startswith(OPEN_FOLDER)


def check_job(request: web.Request, grant: Grant) -> None:
    """Raises JobNotFoundError for a job that the bearer may not see: to him there is none."""
    if "job_id" in request.match_info and not grant.jobs.matches_all:
        job_id = job_id_of(request)
        if not grant.jobs(job_id):
            raise JobNotFoundError(job_id)


def unauthenticated(request: web.Request) -> web.StreamResponse:
    """A person is shown the way; a program is told."""
    if request.method == "GET" and "text/html" in request.headers.get("Accept", "").lower():
        raise web.HTTPSeeOther(f"/login?next={quote(request.raw_path, safe='')}")
    raise NotSignedInError


def cookie_name(request: web.Request) -> str:
    """The session's cookie, with the port: a browser would send one of another port, too.

    RFC 6265 section 8.5.
    """
    default = 443 if request[VISITOR].secure else 80
    try:
        url = URL.build(scheme="http", authority=request.headers.get("Host", ""))
        port = url.explicit_port or default
    except (ValueError, LookupError):
        port = default
    return f"marianne_stream_{port}"
