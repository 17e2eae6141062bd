"""Signing in and out with a browser, which cannot send a token with an EventSource.

It must not know how sessions are kept.
"""

import asyncio

from aiohttp import web
from yarl import URL

from marianne_stream.auth.authenticator import Authenticator
from marianne_stream.errors import BadRequestError, InvalidTokenError
from marianne_stream.web.auth_middleware import CLIENT_INFO, AuthMiddleware, session_cookie_name
from marianne_stream.web.frontend import Templates
from marianne_stream.web.responses import NO_STORE

INVALID_TOKEN_MESSAGE = "That token is not known here."  # noqa: S105 - what a person is told, no token
EXPIRED_LINK_MESSAGE = (
    "This link has been used, is older than an hour, or is of a server that has ended."
)


class LoginPages:
    """The pages and forms of signing in.

    Args:
        auth: who knows the tokens.
        templates: what the form is made of.
        max_age_s: how long a browser keeps its cookie.
        form_timeout_s: how long a form may take to come; a token and an address are sent at once.
    """

    def __init__(
        self, auth: AuthMiddleware, templates: Templates, *, max_age_s: int, form_timeout_s: float
    ) -> None:
        self._auth = auth
        self._templates = templates
        self._max_age_s = max_age_s
        self._form_timeout_s = form_timeout_s

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Puts the addresses into a router."""
        # A link that works once is not to be spent by a HEAD.
        router.add_get("/login", self.login_page, allow_head=False)
        router.add_post("/login", self.log_in)
        router.add_post("/logout", self.log_out)

    async def login_page(self, request: web.Request) -> web.Response:
        """`GET /login`: the form; or, by a link that works once, signed in."""
        keeper, code = self._auth.authenticator, request.query.get("code")
        where = safe_redirect_path(request.query.get("next", "/"))
        if keeper is None or (not code and await self._auth.session_grant(request) is not None):
            raise web.HTTPSeeOther(where)
        if not code:
            return self._templates.render("sign-in.html", message="", next=where)
        session_id = keeper.redeem_login_link(code)
        if session_id is None:
            await self._penalize_failure(request, method="link", reason="used_link")
            return self._templates.render(
                "sign-in.html", status=401, message=EXPIRED_LINK_MESSAGE, next=where
            )
        self._log_success(request, "signed in", keeper, session_id, method="link")
        return self._set_session_cookie(request, session_id, see_other(where))

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """`POST /login`: a token for a session, as a form or as JSON."""
        keeper = self._require_same_origin(request)
        as_form = request.content_type == "application/x-www-form-urlencoded"
        fields = await read_login_fields(request, is_form=as_form, timeout_s=self._form_timeout_s)
        where = safe_redirect_path(fields.get("next", "/"))
        if keeper is None:
            return see_other(where)
        token = fields.get("token", "").strip()
        method = "form" if as_form else "json"
        session_id = keeper.create_session(token)
        if session_id is None:
            await self._penalize_failure(request, method=method, **keeper.rejection_fields(token))
            if not as_form:
                raise InvalidTokenError
            return self._templates.render(
                "sign-in.html", status=401, message=INVALID_TOKEN_MESSAGE, next=where
            )
        self._log_success(request, "signed in", keeper, session_id, method=method)
        answer = see_other(where) if as_form else web.Response(status=204, headers=NO_STORE)
        return self._set_session_cookie(request, session_id, answer)

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        """`POST /logout`: the session is over, for good, and the streams that it opened end."""
        keeper = self._require_same_origin(request)
        session_id = request.cookies.get(session_cookie_name(request))
        if keeper is not None and session_id:
            if keeper.authenticate_session(session_id) is not None:
                self._log_success(request, "signed out", keeper, session_id)
            keeper.end_session(session_id)
        answer = see_other("/login")
        answer.del_cookie(session_cookie_name(request), path="/")
        return answer

    def _log_success(
        self,
        request: web.Request,
        event: str,
        authenticator: Authenticator,
        session_id: str,
        **fields: str,
    ) -> None:
        name = authenticator.session_token_name(session_id)
        self._auth.login_log.log_accepted(event, request[CLIENT_INFO], token=name, **fields)

    async def _penalize_failure(self, request: web.Request, **fields: str) -> None:
        """Log that a sign-in failed, and wait as long as a failure of this address has to."""
        visitor = request[CLIENT_INFO]
        self._auth.login_log.log_rejected("sign-in failed", visitor, **fields)
        await self._auth.login_throttle.penalize(visitor.rate_limit_key)

    def _require_same_origin(self, request: web.Request) -> Authenticator | None:
        """Who keeps the tokens, for a request that a page of this server made."""
        self._auth.host_policy.require_same_origin(request, secure=request[CLIENT_INFO].secure)
        return self._auth.authenticator

    def _set_session_cookie(
        self, request: web.Request, session_id: str, response: web.Response
    ) -> web.Response:
        response.set_cookie(
            session_cookie_name(request),
            session_id,
            max_age=self._max_age_s,
            path="/",
            secure=request[CLIENT_INFO].secure,
            httponly=True,
            samesite="Lax",
        )
        response.headers.update(NO_STORE)
        return response


async def read_login_fields(
    request: web.Request, *, is_form: bool, timeout_s: float
) -> dict[str, str]:
    """The fields of a form, or of an object of JSON.

    Args:
        request: what holds them.
        is_form: whether they come as a form.
        timeout_s: how long they may take to come.

    Raises:
        BadRequestError: it is neither, or does not come in time.
    """
    wanted = "a form or a JSON object with a token, as text, was expected"
    if "Content-Encoding" in request.headers:
        # How large it is would be known only when it is unpacked.
        raise BadRequestError(detail=wanted)
    try:
        async with asyncio.timeout(timeout_s):
            fields = dict(await request.post()) if is_form else await request.json()
    except (
        TimeoutError,
        ValueError,
        LookupError,
        RecursionError,
        web.RequestPayloadError,
    ) as error:
        raise BadRequestError(detail=wanted) from error
    if not isinstance(fields, dict):
        raise BadRequestError(detail=wanted)
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    if len(texts) != len(fields):
        raise BadRequestError(detail=wanted)
    return texts


def see_other(path: str) -> web.Response:
    """An answer that leads a browser on, with a GET (RFC 9110 section 15.4.4)."""
    location = str(URL(path).with_fragment(None))
    return web.Response(status=303, headers={**NO_STORE, "Location": location})


def safe_redirect_path(text: str) -> str:
    """An address of this server to go on to; another one is not gone on to."""
    if not text.startswith("/") or text.startswith(("//", "/\\")) or not text.isprintable():
        return "/"
    try:
        return text if not URL(text).absolute else "/"
    except (ValueError, LookupError):
        return "/"
