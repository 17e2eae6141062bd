"""Handlers of `/health`, `/ready`, `/metrics` and `/openapi.json`."""

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from marianne_stream.errors import ShuttingDownError, StateUnavailableError
from marianne_stream.schemas.server_schemas import HealthData, ReadyData
from marianne_stream.web.app_keys import JOB_HUB, METRICS, NOT_SERVED, OPENAPI, STREAM_REGISTRY
from marianne_stream.web.responses import NO_STORE, RETRY_AFTER_S, json_response

SAVED_STATE_DETAIL = "Jobs are shown in the last state that the conductor saved."


async def get_health(_request: web.Request) -> web.Response:
    """`GET /health`: 200 while the process is alive; nothing is read."""
    return json_response(HealthData())


async def get_readiness(request: web.Request) -> web.Response:
    """`GET /ready`: 200 if jobs can be served, otherwise 503, with reasons."""
    if request.app[STREAM_REGISTRY].is_draining:
        return not_ready_response(ShuttingDownError.default_detail)
    try:
        roster = await request.app[JOB_HUB].roster.get()
    except StateUnavailableError as error:
        return not_ready_response(error.detail)
    on_disk = (SAVED_STATE_DETAIL, roster.detail) if roster.source == "registry" else ()
    reasons = tuple(filter(None, (*on_disk, *request.app[NOT_SERVED]())))
    data = ReadyData(ready=True, source=roster.source, live=roster.live, reasons=reasons)
    return json_response(data)


def not_ready_response(reason: str) -> web.Response:
    """Return a 503 with a reason."""
    data = ReadyData(ready=False, source="none", live=False, reasons=(reason,))
    response = json_response(data, status=503)
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


async def get_metrics(request: web.Request) -> web.Response:
    """`GET /metrics`: metrics in the text format of Prometheus."""
    await request.app[JOB_HUB].roster.conductors.refresh()
    headers = {**NO_STORE, "Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
    return web.Response(body=request.app[METRICS].render(), headers=headers)


async def get_openapi(request: web.Request) -> web.Response:
    """`GET /openapi.json`: the OpenAPI document."""
    document = await request.app[OPENAPI]()
    return web.Response(body=document, content_type="application/json", headers=NO_STORE)
