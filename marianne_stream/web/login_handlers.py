"""Login and logout of browsers, which cannot send a token with an EventSource."""

import asyncio

import msgspec
from aiohttp import web
from yarl import URL

from marianne_stream.auth.authenticator import Authenticator
from marianne_stream.errors import BadRequestError, InvalidTokenError
from marianne_stream.web.auth_middleware import CLIENT_INFO, AuthMiddleware, session_cookie_name
from marianne_stream.web.host_policy import require_same_origin
from marianne_stream.web.responses import NO_STORE
from marianne_stream.web.root_path import ROOT_PATH, external_path
from marianne_stream.web.templates import Templates

INVALID_TOKEN_MESSAGE = "That token is not known here."  # noqa: S105 - a message, not a token
EXPIRED_LINK_MESSAGE = (
    "This link has been used, is older than an hour, or is of a server that has ended."
)
PLACEHOLDER_ORIGIN = URL("http://localhost")
BAD_FIELDS_DETAIL = "a form or a JSON object with a token, as text, was expected"


class LoginPages:
    """Handlers of `/login` and `/logout`.

    Args:
        max_age_s: age at which the browser drops the cookie.
        form_timeout_s: time in which a form must arrive.
    """

    def __init__(
        self, auth: AuthMiddleware, templates: Templates, *, max_age_s: int, form_timeout_s: float
    ) -> None:
        self._auth = auth
        self._templates = templates
        self._max_age_s = max_age_s
        self._form_timeout_s = form_timeout_s

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes to a router."""
        # A HEAD request must not use up a login link.
        router.add_get("/login", self.login_page, allow_head=False)
        router.add_post("/login", self.log_in)
        router.add_post("/logout", self.log_out)

    async def login_page(self, request: web.Request) -> web.Response:
        """`GET /login`: the form, or a session if the request has the code of a login link."""
        authenticator, code = self._auth.authenticator, request.query.get("code")
        path = safe_redirect_path(request, request.query.get("next", ""))
        if authenticator is None or (
            not code and await self._auth.browser_grant(request) is not None
        ):
            raise web.HTTPSeeOther(path)
        if not code:
            return self._templates.render("sign-in.html", message="", next=path)
        session = await authenticator.redeem_login_link(code)
        if session is None:
            await self._penalize_failure(request, method="link", reason="used_link")
            return self._render_failure(EXPIRED_LINK_MESSAGE, path)
        return self._start_session(request, session, see_other(path), method="link")

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """`POST /login`: exchange a token, in a form or as JSON, for a session."""
        authenticator = self._require_same_origin(request)
        is_form = request.content_type == "application/x-www-form-urlencoded"
        fields = await read_login_fields(request, is_form=is_form, timeout_s=self._form_timeout_s)
        path = safe_redirect_path(request, fields.get("next", ""))
        if authenticator is None:
            return see_other(path)
        token = fields.get("token", "").strip()
        method = "form" if is_form else "json"
        session = await authenticator.create_session(token)
        if session is None:
            await self._penalize_failure(
                request, method=method, **authenticator.rejection_fields(token)
            )
            if not is_form:
                raise InvalidTokenError
            return self._render_failure(INVALID_TOKEN_MESSAGE, path)
        response = see_other(path) if is_form else web.Response(status=204, headers=NO_STORE)
        return self._start_session(request, session, response, method=method)

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        """`POST /logout`: end the session and the streams that were opened with it."""
        authenticator = self._require_same_origin(request)
        session_id = request.cookies.get(session_cookie_name(request))
        if authenticator is not None and session_id:
            token_name = await authenticator.end_session(session_id)
            if token_name is not None:
                self._auth.accepted_log.write("signed out", request[CLIENT_INFO], token=token_name)
        response = see_other(external_path(request, "/login"))
        response.del_cookie(session_cookie_name(request), path=cookie_path(request))
        return response

    async def _penalize_failure(self, request: web.Request, **fields: str) -> None:
        """Log that a sign-in failed, and wait for the delay of the client."""
        client = request[CLIENT_INFO]
        self._auth.refused_log.write("sign-in failed", client, **fields)
        await self._auth.login_throttle.penalize(client.rate_limit_key)

    def _render_failure(self, message: str, path: str) -> web.Response:
        return self._templates.render("sign-in.html", status=401, message=message, next=path)

    def _require_same_origin(self, request: web.Request) -> Authenticator | None:
        """Return the authenticator for a request of this server's own page."""
        require_same_origin(request, secure=request[CLIENT_INFO].secure)
        return self._auth.authenticator

    def _start_session(
        self, request: web.Request, session: tuple[str, str], response: web.Response, *, method: str
    ) -> web.Response:
        """Log a sign-in, and set the session's cookie in its response."""
        session_id, token_name = session
        client = request[CLIENT_INFO]
        self._auth.accepted_log.write("signed in", client, token=token_name, method=method)
        response.set_cookie(
            session_cookie_name(request),
            session_id,
            max_age=self._max_age_s,
            path=cookie_path(request),
            secure=client.secure,
            httponly=True,
            samesite="Lax",
        )
        response.headers.update(NO_STORE)
        return response


async def read_login_fields(
    request: web.Request, *, is_form: bool, timeout_s: float
) -> dict[str, str]:
    """Read a form or a JSON object; raise BadRequestError if it is neither, or late."""
    if "Content-Encoding" in request.headers:
        # Its size would be known only after decompression.
        raise BadRequestError(detail=BAD_FIELDS_DETAIL)
    try:
        async with asyncio.timeout(timeout_s):
            fields = dict(await request.post()) if is_form else await request.json()
        return msgspec.convert(fields, dict[str, str])
    except (
        TimeoutError,
        ValueError,
        LookupError,
        RecursionError,
        web.RequestPayloadError,
    ) as error:
        raise BadRequestError(detail=BAD_FIELDS_DETAIL) from error


def see_other(path: str) -> web.Response:
    """Return a redirect that the browser follows with a GET (RFC 9110 section 15.4.4)."""
    location = str(URL(path).with_fragment(None))
    return web.Response(status=303, headers={**NO_STORE, "Location": location})


def cookie_path(request: web.Request) -> str:
    """Return the path of the session cookie.

    Servers below other paths do not receive it, but their pages can use it (RFC 6265 section 8.6).
    """
    return request.app[ROOT_PATH] or "/"


def safe_redirect_path(request: web.Request, text: str) -> str:
    """Return a path of this server to redirect to: that of the page if the text leads elsewhere."""
    home = external_path(request, "/")
    if not text.startswith(home) or text.startswith(("//", "/\\")) or not text.isprintable():
        return home
    try:
        # Browsers resolve dot segments before they send a request.
        url = PLACEHOLDER_ORIGIN.join(URL(text))
    except (ValueError, LookupError):
        return home
    return text if url.origin() == PLACEHOLDER_ORIGIN and url.path.startswith(home) else home
