"""JSON responses, and errors as JSON or, for an EventSource, as a stream."""

import random
from collections.abc import Mapping

from aiohttp import web

from marianne_stream.errors import MarianneStreamError
from marianne_stream.schemas.payload import Payload
from marianne_stream.schemas.server_schemas import ErrorData
from marianne_stream.wire import sse

NO_STORE = {"Cache-Control": "private, no-store"}

RETRY_AFTER_S = 5

UNAUTHORIZED = web.HTTPUnauthorized.status_code

# Statuses of errors that may pass, so that a client should try again.
TRANSIENT_STATUSES = frozenset({429, 500, 503})


def json_response(payload: Payload | bytes, *, status: int = 200) -> web.Response:
    """Return a response with a model, or with its JSON."""
    body = payload if isinstance(payload, bytes) else payload.json_bytes()
    return web.Response(body=body, status=status, content_type="application/json", headers=NO_STORE)


def error_response(
    request: web.BaseRequest,
    *,
    status: int,
    detail: str,
    code: str = "http_error",
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return an error as JSON; the default code is that of errors that HTTP itself defines.

    An EventSource never reconnects after a status other than 200 (WHATWG HTML section 9.2.3). So a
    transient error is sent to it as a stream that only sets a delay.
    """
    if status in TRANSIENT_STATUSES:
        if accepts_event_stream(request):
            return retry_later_response(detail)
        if status != web.HTTPInternalServerError.status_code:
            headers = {**(headers or {}), "Retry-After": str(RETRY_AFTER_S)}
    response = json_response(ErrorData(detail=detail, code=code), status=status)
    response.headers.update(headers or {})
    return response


def response_from_error(
    request: web.BaseRequest, error: MarianneStreamError, *, detail: str = ""
) -> web.Response:
    """Return the response to an error of this package, with its detail or another."""
    # RFC 9110 section 11.6.1.
    headers = {"WWW-Authenticate": "Bearer"} if error.status == UNAUTHORIZED else {}
    return error_response(
        request,
        status=error.status,
        code=error.code,
        detail=detail or error.detail,
        headers=headers,
    )


def retry_later_response(detail: str) -> web.Response:
    """Return an empty event stream that only sets a jittered `retry` delay."""
    delay_ms = random.randint(RETRY_AFTER_S * 500, RETRY_AFTER_S * 1500)  # noqa: S311 - no secret
    headers = {
        "Cache-Control": "private, no-store, no-transform",
        "X-Accel-Buffering": "no",
        "Content-Type": "text/event-stream",
    }
    return web.Response(body=sse.retry(delay_ms) + sse.comment(detail), headers=headers)


def accepts_event_stream(request: web.BaseRequest) -> bool:
    """Return whether the client accepts event streams by name; `*/*` is not enough."""
    return "text/event-stream" in request.headers.get("Accept", "").lower()
