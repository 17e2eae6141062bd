"""The one place where errors become answers. It must not know which handler raised them."""

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from marianne_stream.errors import LeavingError, MarianneStreamError
from marianne_stream.web.answers import answer_of, error_answer
from marianne_stream.web.keys import STREAMS

logger = logging.getLogger(__name__)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives every error the one form, and logs those that are ours."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return http_error(request, error)
    except MarianneStreamError as error:
        # That nothing can be asked is logged where it was found out, once and not for each request.
        logger.debug("%s %r answered %d: %s", request.method, request.path, error.status, error)
        return answer_of(request, error)
    except ConnectionError:
        raise
    except Exception:
        logger.exception("%s %r failed", request.method, request.path)
        return answer_of(request, MarianneStreamError())


@web.middleware
async def unless_leaving(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Sends away who comes while the server leaves; a connection may have been open before."""
    if request.app[STREAMS].leaving and request.path not in ("/health", "/ready"):
        raise LeavingError
    return await handler(request)


def http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    """An error that aiohttp raised, in our form."""
    headers = {}
    code, detail = "http_error", error.reason
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = error.headers["Allow"]
        code = "method_not_allowed"
        detail = f"{request.method} is not allowed here; allowed is: {headers['Allow']}."
    elif error.status == web.HTTPNotFound.status_code:
        code, detail = "not_found", "There is nothing at this address."
    return error_answer(request, status=error.status, code=code, detail=detail, headers=headers)
