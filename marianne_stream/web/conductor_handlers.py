"""Handler for information about the conductor."""

from collections.abc import Sequence

from aiohttp import web

from marianne_stream.errors import BadParameterError, ConductorUnavailableError
from marianne_stream.jobs.conductor_view import ConductorView, restrict_views
from marianne_stream.web.app_keys import JOB_HUB, SOURCE_NAMES
from marianne_stream.web.auth_middleware import GRANT
from marianne_stream.web.params import TextParameter, repr_truncated
from marianne_stream.web.responses import json_response
from marianne_stream.wire.job_patterns import JobPatterns

SOURCE = TextParameter(
    "source", "Name of the source; required on an edge with several sources, else ignored."
)


async def get_conductor(request: web.Request) -> web.Response:
    """`GET /api/conductor`: the conductor's load and limits, and the jobs that wait."""
    job_scope = request[GRANT].job_scope
    name = read_source(request, request.app[SOURCE_NAMES], job_scope)
    views = restrict_views(await request.app[JOB_HUB].roster.get_conductors(), job_scope)
    return json_response(select_view(views, name).to_data())


def read_source(
    request: web.Request, source_names: tuple[str, ...], job_scope: JobPatterns
) -> str | None:
    """Return the name of a source that the client may see; None if there is only one.

    Raises:
        BadParameterError: the parameter is missing, or names no such source.
    """
    name = SOURCE.read(request)
    if not source_names:
        return None
    visible = [each for each in source_names if job_scope.may_match_prefix(f"{each}:")]
    if name not in visible:
        received = "nothing" if name is None else repr_truncated(name)
        raise BadParameterError(
            detail=f"source must be one of {', '.join(visible) or 'none'}, got {received}"
        )
    return name


def select_view(views: Sequence[ConductorView], name: str | None) -> ConductorView:
    """Return the conductor of a source; raise ConductorUnavailableError if it is away."""
    for view in views:
        if view.source_name == name:
            return view
    raise ConductorUnavailableError(f"nothing is known of the conductor of source {name!r}")
