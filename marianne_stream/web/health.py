"""Whether the process is alive, and whether it can serve. It must not know why not."""

from aiohttp import web

from marianne_stream.errors import StateUnavailableError
from marianne_stream.models import HealthData, ReadyData, Roster
from marianne_stream.web.answers import RETRY_AFTER_S, json_answer
from marianne_stream.web.keys import OPENAPI, WATCHES


async def health(_request: web.Request) -> web.Response:
    """`GET /health`: alive. Nobody is asked."""
    return json_answer(HealthData())


async def ready(request: web.Request) -> web.Response:
    """`GET /ready`: 200 when jobs can be served, else 503 and what is missing."""
    try:
        roster = await request.app[WATCHES].roster()
    except StateUnavailableError as error:
        data = ReadyData(ready=False, source="none", live=False, missing=(error.detail,))
        answer = json_answer(data, status=503)
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
        return answer
    missing = ("The conductor is away; the state on disk is served.",) if falls_back(roster) else ()
    data = ReadyData(ready=True, source=roster.source, live=roster.live, missing=missing)
    return json_answer(data)


def falls_back(roster: Roster) -> bool:
    """Whether what is served is only what is left on disk."""
    return roster.source == "registry"


async def openapi(request: web.Request) -> web.Response:
    """`GET /openapi.json`: the API, described."""
    return web.Response(body=request.app[OPENAPI], content_type="application/json")
