"""Where to ask for what an edge does not have. It must not know why it has not."""

from urllib.parse import quote

from aiohttp import web

from marianne_stream.errors import NotOnEdgeError
from marianne_stream.web.params import JOB_ID_SEGMENT_INDEX
from marianne_stream.web.responses import NO_STORE, response_from_error
from marianne_stream.wire import job_ids


def redirect_to_origin(request: web.Request, error: NotOnEdgeError) -> web.Response:
    """The same request, at the origin (307, RFC 9110 section 15.4.8).

    An error where that is nowhere, or a script of our own page asks: its session is not the
    origin's, and a browser would not let it follow.
    """
    if error.origin_url is None:
        return response_from_error(request, error)
    if is_same_origin_fetch(request):
        told = NotOnEdgeError(
            error.job_id,
            origin_url=error.origin_url,
            detail=f"Only the conductor's own server has this: {error.origin_url}",
        )
        return response_from_error(request, told)
    url = request.rel_url
    segments = url.raw_path.split("/")
    raw_id = job_ids.unescape(error.job_id).encode("utf-8", "surrogateescape")
    segments[JOB_ID_SEGMENT_INDEX] = quote(raw_id, safe="")
    query = f"?{url.raw_query_string}" if url.raw_query_string else ""
    location = error.origin_url.rstrip("/") + "/".join(segments) + query
    return web.Response(status=307, headers={**NO_STORE, "Location": location})


def is_same_origin_fetch(request: web.Request) -> bool:
    """Whether a script asks, and not a person who follows a link (Fetch Metadata)."""
    site, mode = (request.headers.get(f"Sec-Fetch-{name}", "") for name in ("Site", "Mode"))
    return site == "same-origin" and mode != "navigate"
