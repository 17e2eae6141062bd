"""Whether the process is alive, and whether it can serve. It must not know why not."""

from aiohttp import web

from marianne_stream.errors import LeavingError, StateUnavailableError
from marianne_stream.payloads import HealthData, ReadyData
from marianne_stream.web.answers import NO_STORE, RETRY_AFTER_S, json_answer
from marianne_stream.web.keys import METRICS, NOT_SERVED, OPENAPI, STREAMS, WATCHES

ON_DISK = "State comes from the registry on disk, and not from the conductor."


async def health(_request: web.Request) -> web.Response:
    """`GET /health`: alive. Nobody is asked."""
    return json_answer(HealthData())


async def ready(request: web.Request) -> web.Response:
    """`GET /ready`: 200 when jobs can be served, else 503 and what is missing."""
    if request.app[STREAMS].leaving:
        return not_ready(LeavingError.public)
    try:
        roster = await request.app[WATCHES].get_roster()
    except StateUnavailableError as error:
        return not_ready(error.detail)
    on_disk = (ON_DISK, roster.detail) if roster.source == "registry" else ()
    missing = tuple(filter(None, (*on_disk, *request.app[NOT_SERVED]())))
    data = ReadyData(ready=True, source=roster.source, live=roster.live, reasons=missing)
    return json_answer(data)


def not_ready(why: str) -> web.Response:
    """503, and what is missing."""
    data = ReadyData(ready=False, source="none", live=False, reasons=(why,))
    answer = json_answer(data, status=503)
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


async def metrics(request: web.Request) -> web.Response:
    """`GET /metrics`: figures of the server."""
    return await request.app[METRICS].answer(request)


async def openapi(request: web.Request) -> web.Response:
    """`GET /openapi.json`: the API, described."""
    document = request.app[OPENAPI]
    return web.Response(body=document, content_type="application/json", headers=NO_STORE)
