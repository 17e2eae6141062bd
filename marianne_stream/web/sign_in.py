"""Signing in and out with a browser, which cannot send a token with an EventSource.

It must not know how sessions are kept.
"""

import asyncio

from aiohttp import web
from yarl import URL

from marianne_stream.access.keeper import Keeper
from marianne_stream.errors import BadRequestError, WrongTokenError
from marianne_stream.web.answers import NO_STORE
from marianne_stream.web.gate import VISITOR, Gate, cookie_name
from marianne_stream.web.pages import Templates

WRONG_TOKEN = "That token is not known here."  # noqa: S105 - what a person is told, no token
USED_LINK = "This link has been used, is older than an hour, or is of a server that has ended."


class SignIn:
    """The pages and forms of signing in.

    Args:
        gate: who knows the tokens.
        templates: what the form is made of.
        max_age_s: how long a browser keeps its cookie.
        form_limit_s: how long a form may take to come; a token and an address are sent at once.
    """

    def __init__(
        self, gate: Gate, templates: Templates, *, max_age_s: int, form_limit_s: float
    ) -> None:
        self._gate = gate
        self._templates = templates
        self._max_age_s = max_age_s
        self._form_limit_s = form_limit_s

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Puts the addresses into a router."""
        # A link that works once is not to be spent by a HEAD.
        router.add_get("/login", self.form, allow_head=False)
        router.add_post("/login", self.sign_in)
        router.add_post("/logout", self.sign_out)

    async def form(self, request: web.Request) -> web.Response:
        """`GET /login`: the form; or, by a link that works once, signed in."""
        keeper, code = self._gate.keeper, request.query.get("code")
        where = local_path(request.query.get("next", "/"))
        if keeper is None or (not code and await self._gate.known(request) is not None):
            raise web.HTTPSeeOther(where)
        if not code:
            return self._templates.page("sign-in.html", message="", next=where)
        session_id = keeper.sign_in_by_link(code)
        if session_id is None:
            await self._failed(request, method="link", reason="used_link")
            return self._templates.page("sign-in.html", status=401, message=USED_LINK, next=where)
        self._accepted(request, "signed in", keeper, session_id, method="link")
        return self._signed_in(request, session_id, gone_on(where))

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """`POST /login`: a token for a session, as a form or as JSON."""
        keeper = self._guarded(request)
        as_form = request.content_type == "application/x-www-form-urlencoded"
        fields = await fields_of(request, as_form=as_form, limit_s=self._form_limit_s)
        where = local_path(fields.get("next", "/"))
        if keeper is None:
            return gone_on(where)
        token = fields.get("token", "").strip()
        method = "form" if as_form else "json"
        session_id = keeper.sign_in(token)
        if session_id is None:
            await self._failed(request, method=method, **keeper.why_refused(token))
            if not as_form:
                raise WrongTokenError
            return self._templates.page("sign-in.html", status=401, message=WRONG_TOKEN, next=where)
        self._accepted(request, "signed in", keeper, session_id, method=method)
        answer = gone_on(where) if as_form else web.Response(status=204, headers=NO_STORE)
        return self._signed_in(request, session_id, answer)

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """`POST /logout`: the session is over, for good, and the streams that it opened end."""
        keeper = self._guarded(request)
        session_id = request.cookies.get(cookie_name(request))
        if keeper is not None and session_id:
            if keeper.by_session(session_id) is not None:
                self._accepted(request, "signed out", keeper, session_id)
            keeper.sign_out(session_id)
        answer = gone_on("/login")
        answer.del_cookie(cookie_name(request), path="/")
        return answer

    def _accepted(
        self, request: web.Request, event: str, keeper: Keeper, session_id: str, **fields: str
    ) -> None:
        name = keeper.name_of_session(session_id)
        self._gate.log.accepted(event, request[VISITOR], token=name, **fields)

    async def _failed(self, request: web.Request, **fields: str) -> None:
        """Log that a sign-in failed, and wait as long as a failure of this address has to."""
        visitor = request[VISITOR]
        self._gate.log.refused("sign-in failed", visitor, **fields)
        await self._gate.slowing.failed(visitor.counted_as)

    def _guarded(self, request: web.Request) -> Keeper | None:
        """Who keeps the tokens, for a request that a page of this server made."""
        self._gate.sites.check_origin(request, secure=request[VISITOR].secure)
        return self._gate.keeper

    def _signed_in(
        self, request: web.Request, session_id: str, answer: web.Response
    ) -> web.Response:
        answer.set_cookie(
            cookie_name(request),
            session_id,
            max_age=self._max_age_s,
            path="/",
            secure=request[VISITOR].secure,
            httponly=True,
            samesite="Lax",
        )
        answer.headers.update(NO_STORE)
        return answer


async def fields_of(request: web.Request, *, as_form: bool, limit_s: float) -> dict[str, str]:
    """The fields of a form, or of an object of JSON.

    Args:
        request: what holds them.
        as_form: whether they come as a form.
        limit_s: how long they may take to come.

    Raises:
        BadRequestError: it is neither, or does not come in time.
    """
    wanted = "a form or a JSON object with a token, as text, was expected"
    if "Content-Encoding" in request.headers:
        # How large it is would be known only when it is unpacked.
        raise BadRequestError(detail=wanted)
    try:
        async with asyncio.timeout(limit_s):
            fields = dict(await request.post()) if as_form else await request.json()
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


def gone_on(where: str) -> web.Response:
    """An answer that leads a browser on, with a GET (RFC 9110 section 15.4.4)."""
    location = str(URL(where).with_fragment(None))
    return web.Response(status=303, headers={**NO_STORE, "Location": location})


def local_path(text: str) -> str:
    """An address of this server to go on to; another one is not gone on to."""
    if not text.startswith("/") or text.startswith(("//", "/\\")) or not text.isprintable():
        return "/"
    try:
        return text if not URL(text).absolute else "/"
    except (ValueError, LookupError):
        return "/"
