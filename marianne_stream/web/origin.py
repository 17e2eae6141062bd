"""Where to ask for what an edge does not have. It must not know why it has not."""

from urllib.parse import quote

from aiohttp import web

from marianne_stream.errors import OriginOnlyError
from marianne_stream.web.answers import NO_STORE, answer_of
from marianne_stream.web.params import JOB_ID_SEGMENT
from marianne_stream.wire import job_ids


def at_origin(request: web.Request, error: OriginOnlyError) -> web.Response:
    """The same request, at the origin (307, RFC 9110 section 15.4.8).

    An error where that is nowhere, or a script of our own page asks: its session is not the
    origin's, and a browser would not let it follow.
    """
    if error.origin_url is None:
        return answer_of(request, error)
    if of_own_page(request):
        told = OriginOnlyError(
            error.job_id,
            origin_url=error.origin_url,
            detail=f"Only the conductor's own server has this: {error.origin_url}",
        )
        return answer_of(request, told)
    url = request.rel_url
    segments = url.raw_path.split("/")
    raw_id = job_ids.unescape(error.job_id).encode("utf-8", "surrogateescape")
    segments[JOB_ID_SEGMENT] = quote(raw_id, safe="")
    query = f"?{url.raw_query_string}" if url.raw_query_string else ""
    location = error.origin_url.rstrip("/") + "/".join(segments) + query
    return web.Response(status=307, headers={**NO_STORE, "Location": location})


def of_own_page(request: web.Request) -> bool:
    """Whether a script asks, and not a person who follows a link (Fetch Metadata)."""
    site, mode = (request.headers.get(f"Sec-Fetch-{name}", "") for name in ("Site", "Mode"))
    return site == "same-origin" and mode != "navigate"
