"""Middleware: request context, errors as JSON, and rejection of requests during shutdown."""

import logging
import time
from urllib.parse import quote

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
from marianne_stream.web.params import JOB_ID_SEGMENT_INDEX
from marianne_stream.web.request_ids import REQUEST_ID, loggable_path, make_request_id
from marianne_stream.web.responses import NO_STORE, error_response, response_from_error
from marianne_stream.web.root_path import ROOT_PATH, is_root_path_kept
from marianne_stream.wire import job_ids
from marianne_stream.wire.zone_header import ZONE_HEADER, format_zone

logger = logging.getLogger(__name__)

COUNTED_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})

# nginx's status for a client that disconnected before the response.
CLIENT_CLOSED_REQUEST = 499


def make_request_context(metrics: Metrics) -> Middleware:
    """Return the middleware that gives each request its id, and counts its response."""

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[REQUEST_ID] = make_request_id(request.headers.get("X-Request-ID", ""))
        started = time.perf_counter()
        status = CLIENT_CLOSED_REQUEST
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            duration_s = time.perf_counter() - started
            resource = request.match_info.route.resource
            method = request.method if request.method in COUNTED_METHODS else "OTHER"
            metrics.observe_response(
                route=resource.canonical if resource is not None else "",
                method=method,
                status=status,
                duration_s=duration_s,
            )
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug(
                    "response sent status=%d duration=%.3fs method=%s path=%s request_id=%s",
                    *(status, duration_s, method, loggable_path(request), request[REQUEST_ID]),
                )
        return response

    return observe


async def add_response_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set `X-Request-ID`, the offset of local time, and a `Server` header without a version.

    While the server drains, no connection is kept open, so that the next server gets the next
    request.
    """
    response.headers["X-Request-ID"] = request.get(REQUEST_ID, "")
    response.headers["Server"] = SERVER_HEADER
    response.headers[ZONE_HEADER] = format_zone()
    if request.app[STREAM_REGISTRY].is_draining:
        response.headers["Connection"] = "close"
        response.force_close()


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn each exception into a response, and log unexpected ones."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return response_from_http_exception(request, error)
    except NotOnEdgeError as error:
        return redirect_to_origin(request, error)
    except LogNotFoundError as error:
        may_see_paths = request[GRANT].job_scope.matches_all
        return response_from_error(
            request, error, detail=error.detail_with_paths if may_see_paths else ""
        )
    except MarianneStreamError as error:
        # Its cause is logged once where it was found, not for each request.
        logger.debug(
            "request refused status=%d path=%s error=%s",
            error.status,
            loggable_path(request),
            error,
        )
        return response_from_error(request, error)
    except ConnectionError:
        raise
    except Exception:
        logger.exception(
            "request failed method=%s path=%s request_id=%s",
            *(request.method, loggable_path(request), request.get(REQUEST_ID, "")),
        )
        return response_from_error(request, MarianneStreamError())


@web.middleware
async def reject_while_draining(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Reject requests on connections that are still open while the server drains."""
    if request.app[STREAM_REGISTRY].is_draining and request.path not in ("/health", "/ready"):
        raise ShuttingDownError
    return await handler(request)


def response_from_http_exception(request: web.Request, error: web.HTTPException) -> web.Response:
    """Return the JSON response for an error that aiohttp raised."""
    headers = {}
    code, detail = "http_error", error.reason
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = error.headers["Allow"]
        code = "method_not_allowed"
        detail = f"{request.method} is not allowed here; allowed is: {headers['Allow']}."
    elif error.status == web.HTTPNotFound.status_code:
        code, detail = "not_found", "There is nothing at this address."
        if is_root_path_kept(request):
            path, root_path = request.rel_url.raw_path, request.app[ROOT_PATH]
            detail = f"Received {path}: the proxy must strip {root_path}, which is root_path."
    return error_response(request, status=error.status, code=code, detail=detail, headers=headers)


def redirect_to_origin(request: web.Request, error: NotOnEdgeError) -> web.Response:
    """Redirect a request that an edge cannot answer to the origin (307, RFC 9110 section 15.4.8).

    The response is an error if the origin's URL is unknown, or if a script of our own page made the
    request: the origin does not know its session, and the browser would not let it follow.
    """
    if error.origin_url is None:
        return response_from_error(request, error)
    if is_same_origin_fetch(request):
        detail = f"Only the conductor's own server has this: {error.origin_url}"
        return response_from_error(request, error, detail=detail)
    url = request.rel_url
    segments = url.raw_path.split("/")
    if error.job_id:
        raw_id = job_ids.unescape(error.job_id).encode("utf-8", "surrogateescape")
        segments[JOB_ID_SEGMENT_INDEX] = quote(raw_id, safe="")
    query = f"?{url.raw_query_string}" if url.raw_query_string else ""
    location = error.origin_url.rstrip("/") + "/".join(segments) + query
    return web.Response(status=307, headers={**NO_STORE, "Location": location})


def is_same_origin_fetch(request: web.Request) -> bool:
    """Return whether a script of this server's page made the request (Fetch Metadata)."""
    site, mode = (request.headers.get(f"Sec-Fetch-{name}", "") for name in ("Site", "Mode"))
    return site == "same-origin" and mode != "navigate"
