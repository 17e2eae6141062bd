"""Answers that end: models as JSON, errors in their one form, and what an EventSource is told.

It must not know what was asked.
"""

import random

from aiohttp import web

from marianne_stream.errors import MarianneStreamError
from marianne_stream.schemas import ErrorData, Payload
from marianne_stream.wire import sse

NO_STORE = {"Cache-Control": "private, no-store"}

RETRY_AFTER_S = 5

UNAUTHORIZED = web.HTTPUnauthorized.status_code

# What may pass: a client does well to come back.
TRANSIENT_STATUSES = frozenset({429, 500, 503})


def json_response(payload: Payload | bytes, *, status: int = 200) -> web.Response:
    """A model, or its JSON, as an answer."""
    body = payload if isinstance(payload, bytes) else payload.json_bytes()
    return web.Response(body=body, status=status, content_type="application/json", headers=NO_STORE)


def error_response(
    request: web.BaseRequest, *, status: int, code: str, detail: str, headers: dict[str, str]
) -> web.Response:
    """An error in the one form that all have.

    An EventSource gives up for ever on any answer but 200 (WHATWG HTML section 9.2.3), so what may
    pass is told to it as a stream that asks it to come back, and ends.
    """
    if status in TRANSIENT_STATUSES:
        if accepts_event_stream(request):
            return retry_later_response(detail)
        if status != web.HTTPInternalServerError.status_code:
            headers = {**headers, "Retry-After": str(RETRY_AFTER_S)}
    answer = json_response(ErrorData(detail=detail, code=code), status=status)
    answer.headers.update(headers)
    return answer


def response_from_error(request: web.BaseRequest, error: MarianneStreamError) -> web.Response:
    """An error of ours as an answer."""
    # How to be let in (RFC 9110 section 11.6.1).
    headers = {"WWW-Authenticate": "Bearer"} if error.status == UNAUTHORIZED else {}
    return error_response(
        request, status=error.status, code=error.code, detail=error.detail, headers=headers
    )


def retry_later_response(detail: str) -> web.Response:
    """A stream that holds nothing but the wish that the client comes back, at its own time."""
    delay_ms = random.randint(RETRY_AFTER_S * 500, RETRY_AFTER_S * 1500)  # noqa: S311 - no secret
    headers = {
        "Cache-Control": "private, no-store, no-transform",
        "X-Accel-Buffering": "no",
        "Content-Type": "text/event-stream",
    }
    return web.Response(body=sse.retry(delay_ms) + sse.comment(detail), headers=headers)


def accepts_event_stream(request: web.BaseRequest) -> bool:
    """Whether the client says that it reads event streams; `*/*` does not say so."""
    return "text/event-stream" in request.headers.get("Accept", "").lower()
