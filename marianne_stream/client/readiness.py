"""Readiness of a server: whether what it tells of jobs is live."""

from collections.abc import Iterable

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import ReadyBody
from marianne_stream.client.cli_errors import ServerUnreachableError
from marianne_stream.client.facts import ENDED_STATUSES
from marianne_stream.client.messages import describe_source


async def find_known_time(client: ApiClient, statuses: Iterable[str]) -> float | None:
    """Return the time up to which the state of jobs or sheets is known; None if it is not live.

    The reason is reported. The server is asked only if one of the statuses can still change.

    Raises:
        MarianneStreamError: the response is an error for which a retry does not help.
    """
    if ENDED_STATUSES.issuperset(statuses):
        return client.clock.now_s()
    if reason := await find_stale_reason(client):
        client.reporter.report(reason)
        return None
    return client.clock.now_s()


async def find_stale_reason(client: ApiClient) -> str:
    """Return why the state of jobs is not live, as `describe_source`; "" if it is."""
    try:
        ready = await client.get_json("/ready", {}, ReadyBody)
    except ServerUnreachableError as error:
        # 503: the server is shutting down, or can read no state any more.
        return str(error)
    # Reasons of a live server are about other sources.
    told = "" if ready.live else " ".join(ready.reasons)
    return told.rstrip(".") or describe_source({"source": ready.source, "live": ready.live})
