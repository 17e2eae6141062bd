"""Whether the process is alive, and whether it can serve. It must not know why not."""

from aiohttp import web

from marianne_stream.errors import ShuttingDownError, StateUnavailableError
from marianne_stream.schemas import HealthData, ReadyData
from marianne_stream.web.app_keys import JOB_HUB, METRICS, NOT_SERVED, OPENAPI, STREAM_REGISTRY
from marianne_stream.web.responses import NO_STORE, RETRY_AFTER_S, json_response

REGISTRY_FALLBACK_DETAIL = "State comes from the registry on disk, and not from the conductor."


async def get_health(_request: web.Request) -> web.Response:
    """`GET /health`: alive. Nobody is asked."""
    return json_response(HealthData())


async def get_readiness(request: web.Request) -> web.Response:
    """`GET /ready`: 200 when jobs can be served, else 503 and what is missing."""
    if request.app[STREAM_REGISTRY].is_draining:
        return not_ready_response(ShuttingDownError.default_detail)
    try:
        roster = await request.app[JOB_HUB].roster.get()
    except StateUnavailableError as error:
        return not_ready_response(error.detail)
    on_disk = (REGISTRY_FALLBACK_DETAIL, roster.detail) if roster.source == "registry" else ()
    missing = tuple(filter(None, (*on_disk, *request.app[NOT_SERVED]())))
    data = ReadyData(ready=True, source=roster.source, live=roster.live, reasons=missing)
    return json_response(data)


def not_ready_response(reason: str) -> web.Response:
    """503, and what is missing."""
    data = ReadyData(ready=False, source="none", live=False, reasons=(reason,))
    answer = json_response(data, status=503)
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


async def get_metrics(request: web.Request) -> web.Response:
    """`GET /metrics`: figures of the server."""
    return await request.app[METRICS].render_response(request)


async def get_openapi(request: web.Request) -> web.Response:
    """`GET /openapi.json`: the API, described."""
    document = request.app[OPENAPI]
    return web.Response(body=document, content_type="application/json", headers=NO_STORE)
