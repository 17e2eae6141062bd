"""The one place where errors become answers. It must not know which handler raised them."""

import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from marianne_stream.errors import (
    LogNotFoundError,
    MarianneStreamError,
    NotOnEdgeError,
    ShuttingDownError,
)
from marianne_stream.web.app_keys import STREAM_REGISTRY
from marianne_stream.web.auth_middleware import GRANT
from marianne_stream.web.host_policy import SERVER_HEADER
from marianne_stream.web.metrics import Metrics
from marianne_stream.web.origin import redirect_to_origin
from marianne_stream.web.request_ids import REQUEST_ID, loggable_path, make_request_id
from marianne_stream.web.responses import error_response, response_from_error

logger = logging.getLogger(__name__)

COUNTED_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})

# A client that left before its answer, as nginx counts it.
CLIENT_CLOSED_REQUEST = 499


def make_request_context(metrics: Metrics) -> Middleware:
    """Gives each request its id, and counts its answer."""

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[REQUEST_ID] = make_request_id(request.headers.get("X-Request-ID", ""))
        began = time.perf_counter()
        status = CLIENT_CLOSED_REQUEST
        try:
            answer = await handler(request)
            status = answer.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            seconds = time.perf_counter() - began
            resource = request.match_info.route.resource
            method = request.method if request.method in COUNTED_METHODS else "OTHER"
            route = resource.canonical if resource is not None else ""
            metrics.observe_response(route=route, method=method, status=status, duration_s=seconds)
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug(
                    "%s %s %s: %d, %.3f s",
                    *(request[REQUEST_ID], method, loggable_path(request), status, seconds),
                )
        return answer

    return observe


async def add_response_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Says by which id the log knows a request, and not by what it was answered.

    While the server leaves, no connection is kept for another request: the next server answers it.
    """
    response.headers["X-Request-ID"] = request.get(REQUEST_ID, "")
    response.headers["Server"] = SERVER_HEADER
    if request.app[STREAM_REGISTRY].is_draining:
        response.headers["Connection"] = "close"
        response.force_close()


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives every error the one form, and logs those that are ours."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return response_from_http_exception(request, error)
    except NotOnEdgeError as error:
        return redirect_to_origin(request, error)
    except LogNotFoundError as error:
        return response_from_error(
            request, with_host_paths(error) if request[GRANT].job_scope.matches_all else error
        )
    except MarianneStreamError as error:
        # That nothing can be asked is logged where it was found out, once and not for each request.
        where = loggable_path(request)
        logger.debug("%s %s answered %d: %s", request.method, where, error.status, error)
        return response_from_error(request, error)
    except ConnectionError:
        raise
    except Exception:
        request_id = request.get(REQUEST_ID, "")
        logger.exception("%s %s %s failed", request_id, request.method, loggable_path(request))
        return response_from_error(request, MarianneStreamError())


def with_host_paths(error: LogNotFoundError) -> LogNotFoundError:
    """Return the error for a client that may see all jobs: it names the host's paths."""
    return LogNotFoundError(str(error), detail=error.detail_with_paths)


@web.middleware
async def reject_while_draining(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Sends away who comes while the server leaves; a connection may have been open before."""
    if request.app[STREAM_REGISTRY].is_draining and request.path not in ("/health", "/ready"):
        raise ShuttingDownError
    return await handler(request)


def response_from_http_exception(request: web.Request, error: web.HTTPException) -> web.Response:
    """An error that aiohttp raised, in our form."""
    headers = {}
    code, detail = "http_error", error.reason
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = error.headers["Allow"]
        code = "method_not_allowed"
        detail = f"{request.method} is not allowed here; allowed is: {headers['Allow']}."
    elif error.status == web.HTTPNotFound.status_code:
        code, detail = "not_found", "There is nothing at this address."
    return error_response(request, status=error.status, code=code, detail=detail, headers=headers)
